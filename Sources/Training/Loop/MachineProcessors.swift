// How many processors this process may use: the machine's, or fewer where something limits it.

import Glibc

/// Upper bounds of the processors that can be used, 1 or more.
public struct MachineProcessors: Sendable, Equatable {
  /// Of all ranks on this machine together.
  let shared: Int
  /// Of this process.
  let own: Int

  /// Those of the machine, or fewer: where processes are bound to some of them (`taskset`, cpusets,
  /// mpirun's binding), and where a control group has a quota of time.
  ///
  /// `launched` says that mpirun started this process. What the ranks share is then mpirun's to use,
  /// not what it has bound this one to.
  public static func available(launched: Bool) -> MachineProcessors {
    MachineProcessors(
      online: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
      launcher: launched ? String(getppid()) : nil, systemRoot: "")
  }

  /// For a machine whose `/proc` and `/sys` lie in `systemRoot`; `launcher` is the process of mpirun.
  package init(online: Int, launcher: String?, systemRoot: String) {
    let system = ControlGroups(root: systemRoot)
    let own = Self.allowed("self", system) ?? online
    let all = launcher.map { Self.allowed($0, system) ?? online } ?? own
    shared = max(1, min(online, all, Self.quota(system) ?? online))
    self.own = max(1, own)
  }

  /// Threads for each of so many ranks on this machine.
  public func threads(ranks: Int) -> Int { max(1, min(shared / max(ranks, 1), own)) }

  /// Processors that a process is bound to: bits of hexadecimal words, parted by commas.
  private static func allowed(_ process: String, _ system: ControlGroups) -> Int? {
    system.text("/proc/\(process)/status")?.split(separator: "\n")
      .first { $0.hasPrefix("Cpus_allowed:") }?
      .dropFirst("Cpus_allowed:".count).split { !$0.isHexDigit }
      .reduce(0) { $0 + (UInt64($1, radix: 16)?.nonzeroBitCount ?? 0) }
  }

  /// Time on processors over time that passes, as control groups allow it; part of one is one.
  private static func quota(_ groups: ControlGroups) -> Int? {
    groups.smallest(of: "cpu") { folder, version in
      let fields =
        switch version {
        case .two: groups.text("\(folder)/cpu.max")?.split(separator: " ").map { Double($0) }
        case .one:
          ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map {
            groups.text("\(folder)/\($0)").flatMap { Double($0) }
          }
        }
      // "max", or -1, is no limit.
      guard let fields, fields.count == 2, let quota = fields[0], let period = fields[1],
        quota > 0, period > 0
      else { return nil }
      return Int((quota / period).rounded(.up))
    }
  }
}
