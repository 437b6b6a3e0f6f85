// The watchdog of a command's ranks, begun by all of them together.

import Parallel

extension Communicator {
  /// Watches the ranks of this world as long as what it gives lives; nil where `seconds` is 0. The
  /// folder of the heartbeats is made anew; `accepted` says which one all hosts must share.
  ///
  /// Every rank calls it alike. Throws `RanksFailed`.
  public func watchdog(
    folder: String, seconds: Int, accepted: String = "a run.folder that all hosts share"
  ) throws -> Watchdog? {
    guard seconds > 0 else { return nil }
    try agreeing { if rank == 0 { try Watchdog.prepare(folder: folder) } }
    return try agreeing {
      try Watchdog(over: self, folder: folder, seconds: Double(seconds), accepted: accepted)
    }
  }
}
