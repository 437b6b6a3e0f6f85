// Folders that cannot be written, and disks that fill up: the older checkpoints stay.

import Foundation
import Testing

@Suite struct DiskRefusalTests {
  @Test(arguments: Ranks.available)
  func `a run folder that cannot be written is refused before the first step`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    // Below a regular file nobody can write, root included.
    expectRefusal(
      try workshop.run(
        ["pretrain", "tiny.yaml", "--set", "run.folder=corpus.txt/runs"], on: ranks),
      says: ["corpus.txt/runs", "cannot make the folder", "Not a directory"])
  }

  @Test(.enabled(if: getuid() != 0, "root may write everywhere"))
  func `a run folder without the right to write is refused`() throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("closed")
    try FileManager.default.createDirectory(
      atPath: workshop.path(folder), withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o555])
    expectRefusal(
      try workshop.run(["pretrain", "tiny.yaml", "--set", "run.folder=\(folder)"]),
      says: [folder, "Permission denied"])
  }

  @Test func `an output that cannot be written is refused`() throws {
    let workshop = try Workshop.shared()
    for arguments in [
      ["export", Workshop.run, "tiny.yaml/x"],
      ["import", "exported", "--name", "x", "--runs", "tiny.yaml"],
    ] {
      expectRefusal(try workshop.run(arguments), says: ["tiny.yaml/x", "Not a directory"])
    }
  }

  /// Checks what a run that ran out of room has left in `runs`.
  private func expectWhole(_ runs: String, name: String, last: String) throws {
    let workshop = try Workshop.shared()
    let left = try workshop.names("\(runs)/\(name)")
    #expect(!left.contains { $0.hasSuffix(".partial") }, "\(left)")
    #expect(left.last { $0.hasPrefix("step-") } == last)
    try workshop.succeed(["checkpoint", "verify", "\(runs)/\(name)"])
    try workshop.succeed(["generate", "\(runs)/\(name)", "--prompt", "the", "--length", "2"])
  }

  @Test(arguments: Ranks.available.filter { $0 != .twoProcesses })
  func `files that may not grow end the run, and the checkpoint before loads`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let path = try workshop.copy(Workshop.run, as: "runs/limited")
    let name = String(path.dropFirst("runs/".count))
    for step in ["15", "20"] { try workshop.remove("\(path)/step-000000\(step)") }
    let words = ranks.words(workshop.training(name, resume: true))
    // Room for the log, not for the moments; the signal would end the process without a word.
    let child = try workshop.start(
      ["bash", "-c", "trap '' XFSZ; ulimit -f 150; exec \"$@\"", "bash"] + words)
    expectRefusal(
      child.wait(), says: ["\(path)/", ".safetensors", "File too large"])
    try expectWhole("runs", name: name, last: "step-00000010")
    // With room it goes on, as if nothing had been.
    try workshop.succeed(workshop.training(name, resume: true))
    #expect(
      try workshop.tensors("\(path)/step-00000020") == workshop.tensors(Workshop.lastStep))
  }

  @Test(arguments: Ranks.available)
  func `a full disk ends the run, and the newest checkpoint loads`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let runs = workshop.fresh("small")
    try FileManager.default.createDirectory(
      atPath: workshop.path(runs), withIntermediateDirectories: true)
    // Room for two checkpoints and a half. Only root may mount; without, the test above stands alone.
    guard mount("tmpfs", workshop.path(runs), "tmpfs", 0, "size=1600k") == 0 else { return }
    defer { umount2(workshop.path(runs), Int32(MNT_DETACH)) }
    let outcome = try workshop.run(
      ["pretrain", "tiny.yaml", "--set", "run.folder=\(runs)"], on: ranks)
    expectRefusal(outcome, says: ["\(runs)/tiny", "No space left on device"])
    try expectWhole(runs, name: "tiny", last: "step-00000010")
  }
}
