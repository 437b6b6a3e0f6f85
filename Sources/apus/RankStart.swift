// How a command that is no run begins on several processes: its ranks are alike, and they are watched.

import Foundation
import Kernels
import Parallel
import Training

/// What a command compares between ranks, and where it keeps their heartbeats.
struct RankStart {
  /// The command, as it is typed.
  let command: String
  /// Must be equal on all ranks beside program, product kernel and arguments.
  var fields: [(name: String, value: String)] = []
  /// Of the heartbeats, and what is accepted as such.
  let folder: String
  var accepted = "a run.folder that all hosts share"
  /// Without a collective on any rank, after which all are ended; 0 is never.
  let watchdogSeconds: Int

  /// Refuses ranks that differ, then watches them as long as what it gives lives. Every rank calls it
  /// alike, before the first collective that depends on what was read.
  ///
  /// Threads of one process are alike, and end by themselves where they do not go on: nil.
  func begin(on world: Communicator) throws -> Watchdog? {
    guard MPIEnvironment.isLaunched else { return nil }
    let arguments = CommandLine.arguments.dropFirst().joined(separator: " ")
    var all = fields
    all.append(("program", try world.agreeing { try Program.fingerprint() }))
    all.append(("product kernel", productKernelName))
    all.append(("arguments", arguments))
    try Handshake.check(all, over: world)
    // A name of this job alone: several may share the folder.
    let job = world.gather("\(getpid())-\(time(nil))")[0]
    return try world.watchdog(
      folder: "\(folder)/.heartbeat-\(command)-\(job)", seconds: watchdogSeconds,
      accepted: accepted)
  }
}
