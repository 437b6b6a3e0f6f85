// Checkpoints that are damaged, of another run, or in the way: what is said, and that nothing is lost.

import Foundation
import Testing

@Suite struct CheckpointRefusalTests {
  static let model = "model-00001-of-00001.safetensors"
  static let optimizer = "optimizer-00001-of-00001.safetensors"

  /// Every file of a run, by its path below the run's folder.
  private func contents(_ run: String) throws -> [String: [UInt8]] {
    let workshop = try Workshop.shared()
    var all: [String: [UInt8]] = [:]
    for name in try workshop.names(run) {
      if name.hasPrefix("step-") {
        for file in try workshop.names("\(run)/\(name)") {
          all["\(name)/\(file)"] = try workshop.bytes("\(run)/\(name)/\(file)")
        }
      } else {
        all[name] = try workshop.bytes("\(run)/\(name)")
      }
    }
    return all
  }

  /// A copy of the finished run under a name of its own.
  private func copy() throws -> (name: String, path: String) {
    let path = try Workshop.shared().copy(Workshop.run, as: "runs/copy")
    return (String(path.dropFirst("runs/".count)), path)
  }

  @Test(arguments: [model, optimizer, "state.json", "configuration.yaml", "tokenizer.json"])
  func `one flipped bit is found, and the run goes on once that checkpoint is removed`(
    file: String
  ) throws {
    let workshop = try Workshop.shared()
    let (name, path) = try copy()
    let damaged = "\(path)/step-00000020"
    var bytes = try workshop.bytes("\(damaged)/\(file)")
    bytes[bytes.count / 2] ^= 4
    try workshop.write("\(damaged)/\(file)", bytes)
    let before = try contents(path)
    expectRefusal(
      try workshop.run(["checkpoint", "verify", path]),
      says: ["\(damaged)/\(file)", "SHA-256", "damaged"])
    expectRefusal(
      try workshop.run(workshop.training(name, resume: true)),
      says: ["\(damaged)/\(file)", "SHA-256", "damaged", "remove \(damaged)"])
    #expect(try contents(path) == before)
    guard file == Self.model else { return }
    expectRefusal(
      try workshop.run(["evaluate", path]), says: ["\(damaged)/\(file)", "damaged"])
    expectRefusal(
      try workshop.run(["export", path, workshop.fresh("never")]),
      says: ["\(damaged)/\(file)", "damaged"])
    try workshop.remove(damaged)
    let resumed = try workshop.succeed(workshop.training(name, resume: true))
    #expect(resumed.output.contains("resumed from \(path)/step-00000015"))
    #expect(try workshop.tensors(damaged) == workshop.tensors(Workshop.lastStep))
  }

  @Test(arguments: [model, optimizer, "manifest.json"], [0, 1, 3])
  func `a checkpoint cut short is named, and passed over by a run that goes on alone`(
    file: String, lessThan: Int
  ) throws {
    let workshop = try Workshop.shared()
    let (name, path) = try copy()
    let damaged = "\(path)/step-00000020"
    let bytes = try workshop.bytes("\(damaged)/\(file)")
    // Empty, a third, all but a byte.
    let kept = [0, bytes.count / 3, 0, bytes.count - 1][lessThan]
    try workshop.write("\(damaged)/\(file)", Array(bytes.prefix(kept)))
    let list = try workshop.succeed(["checkpoint", "list", name, "--folder", "runs"])
    #expect(list.output.contains("step 20  damaged: \(damaged)/\(file)"))
    #expect(list.output.contains("newest that is whole"))
    // Whoever asks for the newest is told, and gets no older one in its place.
    for command in [
      ["checkpoint", "verify", path], ["checkpoint", "show", path], ["evaluate", path],
      ["generate", path, "--prompt", "the"], ["export", path, workshop.fresh("never")],
      ["checkpoint", "copy", path, "runs/\(workshop.fresh("never"))"],
      workshop.training(workshop.fresh("never"), ["data.start=\(path)"]),
    ] {
      expectRefusal(
        try workshop.run(command),
        says: [path, "damaged", "\(damaged)/\(file)", "accepted: \(path)/step-00000015"])
    }
    expectRefusal(
      try workshop.run([
        "task", "curve", "sort", path, "--against", path, "--reward-model", path, "--output",
        "never",
      ]), says: [damaged, "damaged", "\(damaged)/\(file)", "accepted"])
    try workshop.succeed(["checkpoint", "verify", "\(path)/step-00000015"])
    let resumed = try workshop.succeed(workshop.training(name, resume: true))
    #expect(resumed.output.contains("warning: passed over a damaged checkpoint: \(damaged)"))
    #expect(resumed.output.contains("resumed from \(path)/step-00000015"))
    #expect(try workshop.tensors(damaged) == workshop.tensors(Workshop.lastStep))
  }

  @Test(arguments: [true, false])
  func `checkpoints that are all damaged are not written over`(resume: Bool) throws {
    let workshop = try Workshop.shared()
    let (name, path) = try copy()
    for step in try workshop.names(path) where step.hasPrefix("step-") {
      try workshop.remove("\(path)/\(step)/\(Self.model)")
    }
    let before = try contents(path)
    expectRefusal(
      try workshop.run(workshop.training(name, resume: resume)),
      says: [path, "damaged", Self.model, "another run.name"])
    #expect(try contents(path) == before)
  }

  /// Runs that must not go on from, or over, the finished one.
  static let others: [(what: String, settings: [String], resume: Bool, says: [String])] = [
    ("a second run of the same name", [], false, ["holds a checkpoint of step 20", "--resume"]),
    (
      "other sizes", ["model.width=64"], true,
      ["model.width is 64 here, 32 there", "accepted: model.width: 32"]
    ),
    (
      "another learning rate", ["optimizer.learningRate=0.5"], true,
      ["optimizer.learningRate is 0.5 here, 0.001 there"]
    ),
    ("another seed", ["run.seed=9"], true, ["run.seed is 9 here, 1 there"]),
    ("another tokenizer", ["data.tokenizer=other.json"], true, ["another tokenizer"]),
    ("another corpus", ["data.corpus=less.txt"], true, ["another data.corpus (", "fingerprint"]),
    (
      "another part of it", ["evaluation.part=validation"], true, ["another evaluation.part ("]
    ),
  ]

  @Test(arguments: others.indices)
  func `another run does not go on from a checkpoint, or bury it`(index: Int) throws {
    let (_, settings, resume, says) = Self.others[index]
    let workshop = try Workshop.shared()
    try workshop.write("less.txt", Array(workshop.bytes("corpus.txt").dropLast(5000)))
    let (name, path) = try copy()
    let before = try contents(path)
    expectRefusal(
      try workshop.run(workshop.training(name, settings, resume: resume)), says: [path] + says)
    #expect(try contents(path) == before)
  }

  @Test(arguments: Ranks.available)
  func `a second process does not train into the folder of a running one`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("busy")
    let settings = ["training.steps=1000000", "checkpoint.every=0"]
    let first = try workshop.start(Ranks.one.words(workshop.training(name, settings)))
    #expect(workshop.wait(for: 3, of: name, first))
    // It need not run to hold its folder, and leaves the processors to the others.
    first.send(SIGSTOP)
    let length = try workshop.bytes("runs/\(name)/metrics.jsonl").count
    expectRefusal(
      try workshop.run(workshop.training(name, settings, resume: ranks != .one), on: ranks),
      says: ["runs/\(name)", "another process trains into it", "another run.name"])
    first.send(SIGTERM)
    first.send(SIGCONT)
    #expect(first.wait().status == 75)
    #expect(try workshop.bytes("runs/\(name)/metrics.jsonl").count >= length)
    // The lock is gone with its holder.
    let last = try #require(
      try workshop.names("runs/\(name)").last { $0.hasPrefix("step-") })
    let step = try #require(Int(last.dropFirst("step-".count)))
    try workshop.succeed(
      workshop.training(
        name, ["training.steps=\(step + 1)", "checkpoint.every=0"], resume: true))
  }

  @Test func `what is no checkpoint is refused`() throws {
    let workshop = try Workshop.shared()
    try workshop.write("runs/bare/metrics.jsonl", "")
    for (arguments, says) in [
      (["evaluate", "nowhere"], ["nowhere", "is accepted"]),
      (["checkpoint", "show", "nowhere"], ["nowhere"]),
      (["checkpoint", "verify", "tiny.yaml"], ["tiny.yaml"]),
      (["checkpoint", "list", "nobody", "--folder", "runs"], ["runs/nobody", "no such run"]),
      (["generate", "runs/bare"], ["runs/bare", "neither a checkpoint"]),
    ] {
      expectRefusal(try workshop.run(arguments), says: says)
    }
  }
}
