// Limits of processors, read from made-up systems: quotas of control groups, processors that processes
// are bound to.

import Foundation
import Testing
import Training

@Suite struct MachineProcessorsTests {
  /// Threads that each of so many ranks gets on a machine of 16 processors with these files.
  private func threads(
    ranks: Int, launcher: String? = nil, _ files: [String: String] = [:]
  ) throws -> Int {
    let folder = try ScratchFolder(texts: files)
    return MachineProcessors(
      online: 16, launcher: launcher, systemRoot: folder.path
    ).threads(ranks: ranks)
  }

  @Test(arguments: [(1, 16), (2, 8), (3, 5), (16, 1), (17, 1)])
  func `ranks share the machine`(ranks: Int, threads: Int) throws {
    #expect(try self.threads(ranks: ranks) == threads)
  }

  @Test(
    arguments: [
      // Threads of one process share what it is bound to.
      (1, "003f", nil, 6), (2, "003f", nil, 3), (8, "003f", nil, 1),
      (1, "ffffffff,ffffffff", nil, 16),
      // mpirun has all, and binds each rank.
      (2, "0001", "ffff", 1), (2, "00ff", "ffff", 8), (4, "00ff", "ffff", 4),
      // mpirun itself is bound, and lets ranks go where it may.
      (2, "5500", "5500", 2),
    ] as [(Int, String, String?, Int)])
  func `what processes are bound to counts`(
    ranks: Int, own: String, launcher: String?, threads: Int
  ) throws {
    func status(_ mask: String) -> String { "Name:\tapus\nCpus_allowed:\t\(mask)\nSpeed:\t1" }
    var files = ["proc/self/status": status(own)]
    files["proc/77/status"] = launcher.map(status)
    #expect(
      try self.threads(ranks: ranks, launcher: launcher == nil ? nil : "77", files) == threads)
  }

  @Test(
    arguments: [
      // A container of version 2: none, whole processors, part of one.
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"], 16),
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "400000 100000"], 4),
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"], 3),
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "20000 100000"], 1),
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "3200000 100000"], 16),
      // A group of its own, with the limit above it.
      (
        [
          "proc/self/cgroup": "0::/user.slice/job",
          "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
          "sys/fs/cgroup/user.slice/cpu.max": "200000 100000",
        ], 2
      ),
      // Version 1.
      (
        [
          "proc/self/cgroup": "9:cpu,cpuacct:/docker/1f\n8:memory:/docker/1f",
          "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "500000",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        ], 5
      ),
      (
        [
          "proc/self/cgroup": "9:cpu,cpuacct:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        ], 16
      ),
    ] as [([String: String], Int)])
  func `a quota of time counts as processors, rounded up`(
    files: [String: String], processors: Int
  ) throws {
    #expect(try threads(ranks: 1, files) == processors)
    #expect(try threads(ranks: 2, files) == max(1, processors / 2))
  }
}
