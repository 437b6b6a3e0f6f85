// Faults of single ranks under mpirun: named, and over for all of them at once.

import Foundation
import Testing

@Suite(.enabled(if: Program.hasMPI, "mpirun is not installed"))
struct RankFaultTests {
  /// Two ranks of which the second has settings of its own.
  private func start(
    _ name: String, common: [String] = [], second: [String]
  ) throws -> Child {
    let workshop = try Workshop.shared()
    let words = [Program.apus] + workshop.training(name, common)
    return try workshop.start(
      Program.mpirun + ["-n", "1"] + words + [":", "-n", "1"] + words
        + second.flatMap { ["--set", $0] })
  }

  static let differences: [(second: [String], says: [String], status: Int32)] = [
    (["run.seed=2"], ["configuration", "rank 0", "rank 1", "seed"], 1),
    (["optimizer.learningRate=0.5"], ["configuration", "rank 1", "learningRate"], 1),
    (["data.tokenizer=other.json"], ["data.tokenizer", "rank 0", "rank 1"], 1),
    (["run.threads=2"], ["run.threads = 1", "rank 1: 'run.threads = 2'"], 1),
    (["model.widht=3"], ["rank 1 of 2", "did you mean 'model.width'?"], 64),
  ]

  @Test(arguments: differences.indices)
  func `a rank that differs is named before the first step`(index: Int) throws {
    let workshop = try Workshop.shared()
    let (second, says, status) = Self.differences[index]
    let name = workshop.fresh("different")
    let outcome = try start(name, second: second).wait()
    expectRefusal(outcome, status: status, says: says)
    #expect(try !workshop.names("runs").contains(name))
  }

  /// Commands of two ranks, of which the second has more words.
  static let moreWords: [(command: [String], second: [String], says: [String])] = [
    (
      ["pretrain", "tiny.yaml", "--set", "run.name=never"], ["--profile"],
      ["profile must be equal", "rank 0: 'false'", "rank 1: 'true'"]
    ),
    (
      benchmark, ["--set", "training.batch=6"],
      ["configuration must be equal", "training.batch = 6"]
    ),
    (
      benchmark, ["--json"], ["arguments must be equal", "rank 0: 'benchmark tiny.yaml", "--json'"]
    ),
    (verify, ["--set", "model.router.experts=8"], ["configuration must be equal", "experts = 8"]),
    (verify, ["--no-float32"], ["arguments must be equal", "--no-float32'"]),
    (dump, ["--precision", "float64"], ["arguments must be equal", "--precision float64'"]),
    (dump, ["--batch", "batch-b"], ["batch must be equal", "rank 0: '", "rank 1: '"]),
    (
      ["generate", Workshop.run, "--prompt", "the"], ["--layout", "tensor=2"],
      ["layout must be equal", "rank 1: 'data=1,tensor=2"]
    ),
  ]
  private static let benchmark = [
    "benchmark", "tiny.yaml", "--set", "model.vocabulary=300", "--steps", "1",
  ]
  private static let verify = ["verify", "layouts", "tiny.yaml", "--mpi", "--shrink"]
  private static let dump = [
    "dump", "--model", "exported", "--batch", "batch-a", "--output", "never",
  ]

  @Test(arguments: moreWords.indices)
  func `a rank with other words than the rest is named before they part`(index: Int) throws {
    let workshop = try Workshop.shared()
    let names = ["batch-a": workshop.fresh("batch"), "batch-b": workshop.fresh("batch")]
    for (first, name) in [Int64(1): "batch-a", 9: "batch-b"] {
      var batch = TensorFile()
      for tensor in ["input_ids", "labels"] { batch.add(tensor, [2, 2], [first, 2, 3, 4]) }
      try workshop.write(names[name]!, batch.bytes)
    }
    let (command, second, says) = Self.moreWords[index]
    let words = [Program.apus] + command.map { names[$0] ?? $0 }
    let outcome = try workshop.start(
      Program.mpirun + ["-n", "1"] + words + [":", "-n", "1"] + words
        + second.map { names[$0] ?? $0 }
    ).wait()
    expectRefusal(outcome, says: says)
    #expect(try !workshop.names(".").contains("never"))
  }

  @Test(arguments: [benchmark, verify])
  func `a rank of another program is named before they part`(command: [String]) throws {
    let workshop = try Workshop.shared()
    // Where programs may be run, which memory is not everywhere.
    let other = "\(NSTemporaryDirectory())/apus-other-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: other) }
    // By a process of its own: what this one writes its other children may hold open, and what is
    // written to cannot be run.
    let copied = try workshop.start(
      ["sh", "-c", "cp '\(Program.apus)' '\(other)' && echo >> '\(other)'"]
    ).wait()
    try #require(copied.status == 0, "\(copied.errors)")
    let outcome = try workshop.start(
      Program.mpirun + ["-n", "1", Program.apus] + command + [":", "-n", "1", other] + command
    ).wait()
    expectRefusal(outcome, says: ["program must be equal", "rank 0: '", "rank 1: '"])
  }

  @Test func `a rank that sees other files ends all with its number`() throws {
    let workshop = try Workshop.shared()
    // The second rank's folder has a configuration and a tokenizer, and no corpus, or another.
    for (corpus, says) in [
      (nil, ["rank 1 of 2", "corpus.txt", "No such file"]),
      ("corpus.txt", ["corpus must be equal", "rank 0: '", "rank 1: '"]),
    ] {
      let elsewhere = workshop.fresh("elsewhere")
      for name in ["tiny.yaml", "tokenizer.json"] {
        try workshop.write("\(elsewhere)/\(name)", workshop.bytes(name))
      }
      if let corpus {
        try workshop.write("\(elsewhere)/\(corpus)", Array(workshop.bytes(corpus).dropLast(9000)))
      }
      let words = [Program.apus] + workshop.training("never")
      let outcome = try workshop.start(
        Program.mpirun + ["-n", "1"] + words + [":", "-n", "1", "-wdir", workshop.path(elsewhere)]
          + words
      ).wait()
      expectRefusal(outcome, says: says)
    }
    #expect(try !workshop.names("runs").contains("never"))
  }

  @Test func `a rank with an unknown option speaks itself`() throws {
    let workshop = try Workshop.shared()
    let words = [Program.apus] + workshop.training("never")
    let outcome = try workshop.start(
      Program.mpirun + ["-n", "1"] + words + [":", "-n", "1"] + words + ["--bogus"]
    ).wait()
    expectRefusal(outcome, status: 64, says: ["--bogus"])
  }

  static let shared = [
    Refusal(
      "an unknown option", ["pretrain", "tiny.yaml", "--bogus"], says: ["--bogus"], status: 64),
    Refusal(
      "a typing error", ["pretrain", "tiny.yaml", "--set", "model.widht=3"],
      says: ["did you mean"], status: 64),
    Refusal(
      "fewer sequences than ranks",
      ["pretrain", "tiny.yaml", "--set", "run.name=never", "--set", "training.batch=1"],
      says: ["training.batch is 1", "2 or more", "2 data ranks"], status: 64),
    Refusal(
      "a layout that does not multiply",
      ["pretrain", "tiny.yaml", "--set", "run.name=never", "--layout", "tensor=3"],
      says: ["layout 'tensor=3'", "impossible on 2 ranks", "nearest: data="], status: 64),
    Refusal(
      "an axis that there is not",
      ["pretrain", "tiny.yaml", "--set", "run.name=never", "--layout", "pipeline=2"],
      says: ["'pipeline=2' names no axis", "data, tensor, expert-data"], status: 64),
    Refusal(
      "experts that do not divide",
      [
        "pretrain", "tiny.yaml", "--set", "run.name=never", "--layout", "expert=2",
        "--set", "model.router.experts=3",
      ],
      says: ["layout.expert is 2", "a divisor of 3, the number of experts"], status: 64),
    Refusal(
      "more tensor ranks than heads",
      [
        "pretrain", "tiny.yaml", "--set", "run.name=never", "--layout", "tensor=2",
        "--set", "model.heads=1", "--set", "model.keyValueHeads=1", "--set", "model.headWidth=16",
      ],
      says: ["layout.tensor is 2", "1 to 1, the number of attention heads"], status: 64),
    Refusal(
      "a missing corpus",
      ["pretrain", "tiny.yaml", "--set", "run.name=never", "--set", "data.corpus=none.txt"],
      says: ["none.txt", "No such file"]),
    Refusal(
      "a checkpoint in the way", ["pretrain", "tiny.yaml"],
      says: [Workshop.run, "step 20", "--resume"]),
    Refusal("no checkpoint", ["evaluate", "nowhere"], says: ["nowhere", "is accepted"]),
  ]

  @Test(arguments: shared, [Ranks.twoProcesses, .twoThreads])
  func `what all ranks refuse is said once`(refusal: Refusal, ranks: Ranks) throws {
    let outcome = try Workshop.shared().run(refusal.arguments, on: ranks)
    expectRefusal(outcome, status: refusal.status, says: refusal.says)
    // All ranks share the mistake: no rank is named.
    #expect(outcome.complaints.first?.contains("rank 0") == false)
  }

  @Test func `ranks under mpirun are not asked for in process as well`() throws {
    let outcome = try Workshop.shared().run(
      ["pretrain", "tiny.yaml", "--ranks-in-process", "2"], on: .twoProcesses)
    expectRefusal(outcome, status: 64, says: ["--ranks-in-process", "mpirun"])
  }

  @Test func `a killed rank ends all within seconds, and the run goes on from what was saved`()
    throws
  {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("killed")
    let settings = ["training.steps=100000", "checkpoint.every=4", "checkpoint.keep=2"]
    let child = try workshop.start(Ranks.twoProcesses.words(workshop.training(name, settings)))
    #expect(workshop.wait(for: 8, of: name, child))
    let ranks = child.ranks
    #expect(ranks.count >= 2)
    let moment = ContinuousClock.now
    kill(try #require(ranks.last), SIGKILL)
    let outcome = child.wait()
    #expect(outcome.status == 137)
    // mpirun kills the others and leaves; they go a moment later.
    while ranks.contains(where: isAlive) && ContinuousClock.now - moment < .seconds(longestRefusal)
    {
      usleep(2000)
    }
    #expect(ContinuousClock.now - moment < .seconds(longestRefusal))
    for id in ranks { #expect(!isAlive(id), "process \(id) is left") }
    try workshop.succeed(["checkpoint", "verify", "runs/\(name)"])
    // It is told to stop right after it has gone on.
    let resumed = try workshop.start(
      Ranks.twoProcesses.words(workshop.training(name, settings, resume: true)))
    #expect(workshop.wait(for: 40, of: name, resumed))
    resumed.send(SIGUSR1)
    let stopped = resumed.wait()
    #expect(stopped.status == 75, "\(stopped.errors)")
    #expect(stopped.output.contains("resumed from runs/\(name)/step-"))
  }
}
