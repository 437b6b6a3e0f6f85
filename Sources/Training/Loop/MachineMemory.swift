// How much memory this process may use: the machine's, or less where something limits it.

import Foundation
import Glibc

/// Upper bounds of the memory that can be used.
public struct MachineMemory: Sendable, Equatable {
  /// Of all ranks on this machine together.
  public let bytes: UInt64
  /// What sets it, as in "the machine has 8 GB".
  public let source: String
  /// Addresses that one process may have (`ulimit -v`).
  public let addresses: UInt64

  /// The machine's memory, or the limit of this process's control groups where that is smaller.
  public static var available: MachineMemory {
    var addresses = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &addresses)
    return MachineMemory(
      physical: ProcessInfo.processInfo.physicalMemory, addresses: UInt64(addresses.rlim_cur),
      systemRoot: "")
  }

  /// For a machine whose `/proc` and `/sys` lie in `systemRoot`.
  package init(physical: UInt64, addresses: UInt64 = .max, systemRoot: String) {
    self.addresses = addresses
    if let group = Self.limit(ControlGroups(root: systemRoot)), group < physical {
      (bytes, source) = (group, "its control group allows")
    } else {
      (bytes, source) = (physical, "the machine has")
    }
  }

  /// What its control groups allow the process.
  private static func limit(_ groups: ControlGroups) -> UInt64? {
    groups.smallest(of: "memory") { folder, version in
      groups.text("\(folder)/\(version == .two ? "memory.max" : "memory.limit_in_bytes")")
        .flatMap { UInt64($0) }
    }
  }
}
