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
    if let group = Self.controlGroupLimit(systemRoot), group < physical {
      (bytes, source) = (group, "its control group allows")
    } else {
      (bytes, source) = (physical, "the machine has")
    }
  }

  /// The smallest limit of the process's control group and those above it, of version 2 or 1.
  private static func controlGroupLimit(_ root: String) -> UInt64? {
    guard let groups = text("\(root)/proc/self/cgroup") else { return nil }
    var smallest: UInt64?
    // A line is "number:controllers:path"; version 2 has number 0 and no controllers.
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let (mount, file): (String, String)
      if fields[1].isEmpty {
        (mount, file) = ("/sys/fs/cgroup", "memory.max")
      } else if fields[1].split(separator: ",").contains("memory") {
        (mount, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
      } else {
        continue
      }
      // Within a container the path may be the host's, and only what is above it is there.
      var path = fields[2].split(separator: "/")
      while true {
        let folder = ([Substring(mount)] + path).joined(separator: "/")
        if let limit = text("\(root)\(folder)/\(file)").flatMap({ UInt64($0) }) {
          smallest = min(smallest ?? .max, limit)
        }
        guard !path.isEmpty else { break }
        path.removeLast()
      }
    }
    return smallest
  }

  /// A short file of the system's without the newline at its end.
  private static func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map {
      String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }
}
