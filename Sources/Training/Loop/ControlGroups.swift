// The control groups of this process, of version 2 and 1, as /proc and /sys tell.

import Foundation

/// Finds a controller's limits on this process.
struct ControlGroups {
  /// The folder that holds `/proc` and `/sys`; empty on the machine itself.
  let root: String

  enum Version { case one, two }

  /// The smallest limit of the process's control group and those above it. `read` gives that of one
  /// group's folder, nil where it sets none.
  func smallest<Limit: Comparable>(
    of controller: String, _ read: (_ folder: String, Version) -> Limit?
  ) -> Limit? {
    guard let groups = text("/proc/self/cgroup") else { return nil }
    var smallest: Limit?
    // A line is "number:controllers:path"; version 2 has number 0 and no controllers.
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let (mount, version): (String, Version)
      if fields[1].isEmpty {
        (mount, version) = ("/sys/fs/cgroup", .two)
      } else if fields[1].split(separator: ",").contains(Substring(controller)) {
        (mount, version) = ("/sys/fs/cgroup/\(controller)", .one)
      } else {
        continue
      }
      // Within a container the path may be the host's, and only what is above it is there.
      var path = fields[2].split(separator: "/")
      while true {
        let folder = ([Substring(mount)] + path).joined(separator: "/")
        if let limit = read(folder, version) { smallest = min(smallest ?? limit, limit) }
        guard !path.isEmpty else { break }
        path.removeLast()
      }
    }
    return smallest
  }

  /// A short file of the system's without the newline at its end.
  func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: root + path).map {
      String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }
}
