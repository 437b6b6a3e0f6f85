// Limits of memory, read from made-up systems: control groups of both versions, addresses.

import Foundation
import Parallel
import Testing
import Training
import Transformer

@Suite struct MachineMemoryTests {
  private static let gigabyte: UInt64 = 1 << 30

  /// The memory of a machine of 16 GB with these files.
  private func memory(_ files: [String: String]) throws -> MachineMemory {
    let folder = try ScratchFolder(texts: files)
    return MachineMemory(physical: 16 * Self.gigabyte, systemRoot: folder.path)
  }

  @Test(
    arguments: [
      // No control groups, none with a limit, a limit above the machine's memory.
      ([:], 16),
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"], 16),
      (
        [
          "proc/self/cgroup": "4:memory:/",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        ], 16
      ),
      // Version 2 in a container, in a group of its own, and with the limit above it.
      (["proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "2147483648"], 2),
      (
        [
          "proc/self/cgroup": "0::/user.slice/job",
          "sys/fs/cgroup/user.slice/job/memory.max": "3221225472",
          "sys/fs/cgroup/user.slice/memory.max": "max",
        ], 3
      ),
      (
        [
          "proc/self/cgroup": "0::/user.slice/job",
          "sys/fs/cgroup/user.slice/job/memory.max": "max",
          "sys/fs/cgroup/user.slice/memory.max": "1073741824",
        ], 1
      ),
      // Version 1, with the path of the host that a container does not see, and beside version 2.
      (
        [
          "proc/self/cgroup": "9:cpu,cpuacct:/docker/1f\n8:memory:/docker/1f\n0::/docker/1f",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": "4294967296",
        ], 4
      ),
    ] as [([String: String], UInt64)])
  func `the smallest limit of the control groups counts`(
    files: [String: String], gigabytes: UInt64
  ) throws {
    let memory = try memory(files)
    #expect(memory.bytes == gigabytes * Self.gigabyte)
    #expect(memory.source == (gigabytes == 16 ? "the machine has" : "its control group allows"))
  }

  @Test func `a model beyond a limit is refused, with what limits it`() throws {
    var model = ModelConfiguration()
    model.vocabulary = 1024
    model.router.experts = 64
    model.router.expertWidth = 2048
    let grouped = try memory([
      "proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "2147483648",
    ])
    let few = MachineMemory(
      physical: 16 * Self.gigabyte, addresses: 2 * Self.gigabyte, systemRoot: "/none")
    func refusal(_ memory: MachineMemory, copies: Int = 1) -> String {
      errorText {
        try model.checkFits(
          held: 2, dealt: 2, precision: .float32, copies: copies, memory: memory)
      }
    }
    #expect(refusal(try memory([:])) == "")
    let parameters = "the model has 606M parameters and takes at least 9.7 GB of memory"
    #expect(
      refusal(grouped).hasPrefix(
        "\(parameters), its control group allows 2.1 GB; accepted: smaller"))
    #expect(refusal(few).hasPrefix("\(parameters), half of ulimit -v allows 1.1 GB; accepted"))
    // Each rank has addresses of its own; they share the machine's memory.
    #expect(refusal(few, copies: 2).contains("in 2 ranks, half of ulimit -v allows 2.1 GB"))
    #expect(refusal(few, copies: 9).contains("in 9 ranks, half of ulimit -v allows 9.7 GB"))
    #expect(refusal(few, copies: 17).contains("in 17 ranks, the machine has 17.2 GB"))
  }

  @Test func `a proof of layouts needs room for what it compares, on all ranks`() throws {
    var configuration = RunConfiguration()
    configuration.model.vocabulary = 1024
    configuration.model.router.experts = 64
    configuration.model.router.expertWidth = 512
    let check = LayoutCheck(configuration)
    let memory = MachineMemory(physical: 16 * Self.gigabyte, systemRoot: "/none")
    func refusal(_ layout: String, copies: Int) throws -> String {
      let layout = try Layout(layout, ranks: copies)
      return errorText { try check.checkFits(layout, copies: copies, memory: memory) }
    }
    #expect(try refusal("", copies: 1) == "")
    #expect(try refusal("", copies: 4).contains("of memory in 4 ranks, the machine has 17.2 GB"))
    #expect(try refusal("expert=4", copies: 4) == "")
    var error = #expect(throws: MemoryError.self) {
      try check.checkFits(Layout("", ranks: 4), copies: 4, memory: memory)
    }
    error?.offer = "--shrink"
    #expect(error?.description.contains("accepted: --shrink, smaller model.width, ") == true)
  }
}
