// Whole runs from text to generated text: every subcommand once, and runs that stop and go on.

import Foundation
import Testing

@Suite struct WholeRunTests {
  @Test func `a run leaves checkpoints, metrics, events and a curve`() throws {
    let workshop = try Workshop.shared()
    let names = try workshop.names(Workshop.run)
    #expect(names.contains("metrics.jsonl") && names.contains("curve.svg"))
    #expect(names.contains { $0.hasPrefix("events.out.tfevents.") })
    #expect(
      names.filter { $0.hasPrefix("step-") }
        == ["step-00000005", "step-00000010", "step-00000015", "step-00000020"])
    let metrics = String(
      decoding: try workshop.bytes("\(Workshop.run)/metrics.jsonl"), as: UTF8.self)
    #expect(
      metrics.split(separator: "\n").count {
        $0.contains("\"kind\":\"step\"") || $0.contains("\"step\",\"step\"")
      } == 20)
  }

  @Test func `a checkpoint can be listed, shown, verified, evaluated and continued`() throws {
    let workshop = try Workshop.shared()
    let list = try workshop.succeed(["checkpoint", "list", "tiny", "--folder", "runs"]).output
    #expect(list.contains("step 20") && list.contains("newest"))
    let shown = try workshop.succeed(["checkpoint", "show", Workshop.run]).output
    #expect(shown.contains("\"step\": 20") && shown.contains("model-00001-of-00001.safetensors"))
    // Name, type, shape, elements and bytes: 300 tokens of width 32, and their first moments.
    for name in ["model.embed_tokens.weight", "first.model.embed_tokens.weight"] {
      let line = shown.split(separator: "\n").first { $0.contains("  \(name) ") } ?? ""
      #expect(
        line.split(separator: " ") == [name[...], "F32", "300", "×", "32", "9600", "38", "kB"],
        "\(line)")
    }
    #expect(
      try workshop.succeed(["checkpoint", "verify", Workshop.lastStep]).output.contains("sound"))
    for ranks in Ranks.available {
      let evaluated = try workshop.succeed(["evaluate", Workshop.run, "--json"], on: ranks).output
      let json = try #require(
        try JSONSerialization.jsonObject(with: Data(evaluated.utf8)) as? [String: Any])
      // A uniform guess among 300 tokens has ln 300 = 5.70 nats.
      let loss = try #require(json["loss"] as? Double)
      #expect(loss > 1 && loss < 5.7)
      #expect(json["checkpoint"] as? String != nil)
    }
    let text = ["generate", Workshop.run, "--prompt", "the quick", "--length", "12"]
    let first = try workshop.succeed(text).output
    #expect(first.hasPrefix("the quick") && first.count > "the quick\n".count)
    #expect(try workshop.succeed(text).output == first)
  }

  @Test func `an exported checkpoint computes what it computed, and comes back bit for bit`() throws
  {
    let workshop = try Workshop.shared()
    #expect(
      try workshop.names("exported") == ["config.json", "model.safetensors", "tokenizer.json"])
    var batch = TensorFile()
    batch.add("input_ids", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    batch.add("labels", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    let name = workshop.fresh("batch")
    try workshop.write(name, batch.bytes)
    let output = workshop.fresh("dump")
    try workshop.succeed(["dump", "--model", "exported", "--batch", name, "--output", output])
    let dumped = try TensorFile(workshop.bytes(output))
    let names = Set(dumped.tensors.map(\.name))
    for wanted in ["logits", "loss", "hidden.0", "router_logits.1", "grad.lm_head.weight"] {
      #expect(names.contains(wanted))
    }
    #expect(dumped.tensors.first { $0.name == "logits" }?.shape == [2, 4, 300])
    let run = workshop.fresh("imported")
    try workshop.succeed(["import", "exported", "--name", run, "--runs", "runs"])
    let again = workshop.fresh("exported")
    try workshop.succeed(["export", "runs/\(run)", again])
    #expect(
      try workshop.bytes("\(again)/model.safetensors")
        == workshop.bytes("exported/model.safetensors"))
  }

  @Test(arguments: Ranks.available)
  func `a run goes on from an imported model, whatever text that has seen`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("imported")
    try workshop.succeed(["import", "exported", "--name", name, "--runs", "runs"])
    try workshop.write("\(name).txt", Array(workshop.bytes("corpus.txt").dropFirst(20_000)))
    let other = ["data.corpus=\(name).txt", "training.batch=6", "run.seed=5", "training.steps=1"]
    expectRefusal(
      try workshop.run(
        workshop.training(name, other + ["model.layers=1"], resume: true), on: ranks),
      says: ["runs/\(name)/step-00000000", "model.layers is 1 here, 2 there"])
    // Without a learning rate the weights stay those that were imported.
    let resumed = try workshop.succeed(
      workshop.training(name, other + ["optimizer.learningRate=0"], resume: true), on: ranks)
    #expect(resumed.output.contains("resumed from runs/\(name)/step-00000000 at step 0"))
    let again = workshop.fresh("exported")
    try workshop.succeed(["export", "runs/\(name)/step-00000001", again])
    #expect(
      try workshop.bytes("\(again)/model.safetensors")
        == workshop.bytes("exported/model.safetensors"))
    // From now on it is a run like any other: its text may not change.
    expectRefusal(
      try workshop.run(
        workshop.training(
          name, Array(other.dropFirst()) + ["optimizer.learningRate=0"], resume: true), on: ranks),
      says: ["runs/\(name)/step-00000001", "another data.corpus"])
  }

  @Test func `a run that has made all its steps says so, and what would go on`() throws {
    let workshop = try Workshop.shared()
    for steps in [20, 12] {
      let path = try workshop.copy(Workshop.run, as: "runs/done")
      let before = try workshop.names(path).filter { $0.hasPrefix("step-") }
      let resumed = try workshop.succeed(
        workshop.training(
          String(path.dropFirst("runs/".count)), ["training.steps=\(steps)"], resume: true))
      #expect(
        resumed.output.contains(
          "nothing is left to do: training.steps is \(steps); to go on, set it to more than 20"))
      #expect(try workshop.names(path).filter { $0.hasPrefix("step-") } == before)
    }
  }

  @Test func `text survives encoding and decoding`() throws {
    let workshop = try Workshop.shared()
    let text = "the quick brown fox — naïve"
    let ids = try workshop.succeed(["tokenizer", "encode", "tokenizer.json", "--text", text]).output
    let words = ids.split(whereSeparator: \.isWhitespace).map(String.init)
    #expect(words.count < text.utf8.count)
    #expect(
      try workshop.succeed(["tokenizer", "decode", "tokenizer.json"] + words).output == text + "\n")
  }

  @Test func `the printed configuration is itself a configuration, and its own image`() throws {
    let workshop = try Workshop.shared()
    let printed = try workshop.succeed(["config", "tiny.yaml"]).output
    let name = workshop.fresh("printed") + ".yaml"
    try workshop.write(name, printed)
    #expect(try workshop.succeed(["config", name]).output == printed)
    #expect(printed.contains("expertWidth: 32"))
  }

  /// A run long enough to be stopped in its middle.
  private static let long = ["training.steps=300", "training.batch=16", "checkpoint.every=0"]

  /// What must be equal bit for bit at the end: weights, moments, and all metrics but times.
  private func end(of name: String) throws -> [String: [UInt8]] {
    let workshop = try Workshop.shared()
    var end = try workshop.tensors("runs/\(name)/step-00000300")
    let lines = String(decoding: try workshop.bytes("runs/\(name)/metrics.jsonl"), as: UTF8.self)
      .split(separator: "\n")
      .map { line in line.range(of: ",\"time\":").map { line[..<$0.lowerBound] } ?? line }
    end["metrics"] = Array(lines.joined(separator: "\n").utf8)
    return end
  }

  @Test(arguments: Ranks.available, [SIGUSR1])
  func `a run that was stopped and resumed equals one that was not, bit for bit`(
    ranks: Ranks, signal: Int32
  ) throws {
    let workshop = try Workshop.shared()
    let whole = workshop.fresh("whole")
    try workshop.succeed(workshop.training(whole, Self.long), on: ranks)
    // On busy processors a run may end before this process gets to interrupt it: then once more.
    var stopped = ""
    var outcome: Outcome
    var tries = 0
    repeat {
      stopped = workshop.fresh("stopped")
      let child = try workshop.start(ranks.words(workshop.training(stopped, Self.long)))
      #expect(workshop.wait(for: 5, of: stopped, child))
      child.send(signal)
      outcome = child.wait()
      tries += 1
    } while outcome.status == 0 && tries < 10
    #expect(outcome.status == 75, "\(outcome.errors)")
    #expect(outcome.output.contains("--resume goes on from step"))
    let resumed = try workshop.succeed(
      workshop.training(stopped, Self.long, resume: true), on: ranks)
    #expect(resumed.output.contains("resumed from runs/\(stopped)/step-"))
    #expect(try end(of: stopped) == end(of: whole))
  }

  @Test(.enabled(if: Program.hasMPI, "mpirun is not installed"))
  func `ranks of both kinds write the same checkpoint bit for bit`() throws {
    let workshop = try Workshop.shared()
    var ends: [[String: [UInt8]]] = []
    for ranks in [Ranks.twoProcesses, .twoThreads] {
      let name = workshop.fresh("alike")
      try workshop.succeed(workshop.training(name), on: ranks)
      ends.append(try workshop.tensors("runs/\(name)/step-00000020"))
    }
    #expect(ends[0].count == 4)
    #expect(ends[0] == ends[1])
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func `one interruption saves and stops`(signal: Int32) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("interrupted")
    let child = try workshop.start(
      Ranks.one.words(workshop.training(name, ["training.steps=1000000", "checkpoint.every=0"])))
    #expect(workshop.wait(for: 5, of: name, child))
    child.send(signal)
    let outcome = child.wait()
    #expect(outcome.status == 75, "\(outcome.errors)")
    #expect(outcome.errors.isEmpty)
    try workshop.succeed(["checkpoint", "verify", "runs/\(name)"])
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func `one interruption before training begins ends at once`(signal: Int32) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("early")
    let text = try workshop.bytes("corpus.txt")
    try workshop.write("\(name)/c.txt", Array(repeatElement(text, count: 40).joined()))
    let child = try workshop.start(
      Ranks.one.words(workshop.training(name, ["data.corpus=\(name)/c.txt"])))
    // Its text is being turned into tokens.
    while child.isRunning,
      (try? workshop.names("\(name)/.tokens"))?.contains(where: { $0.hasSuffix(".new") }) != true
    { usleep(500) }
    let moment = ContinuousClock.now
    child.send(signal)
    let outcome = child.wait()
    #expect(outcome.status == 128 + signal)
    #expect(ContinuousClock.now - moment < .seconds(1))
    #expect(try !workshop.names("runs").contains(name))
  }

  @Test(arguments: [false, true])
  func `what a run killed before its first save has logged is gone when it starts again`(
    resume: Bool
  ) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("killed")
    let settings = ["training.steps=1000000", "checkpoint.every=0"]
    // Each goes beyond where the one before was killed, so that its own steps are waited for.
    var last = 2
    for _ in 0..<2 {
      let child = try workshop.start(
        Ranks.one.words(workshop.training(name, settings, resume: resume)))
      #expect(workshop.wait(for: last + 1, of: name, child))
      child.send(SIGKILL)
      #expect(child.wait().status == -SIGKILL)
      let names = try workshop.names("runs/\(name)")
      #expect(names.count { $0.hasPrefix("events.out.tfevents.") } == 1)
      #expect(!names.contains("curve.svg"))
      try workshop.write("runs/\(name)/curve.svg", "of another run")
      last = try steps(of: name).last ?? 0
    }
    #expect(try steps(of: name) == Array(1...last))
  }

  /// The steps that a run has logged.
  private func steps(of name: String) throws -> [Int] {
    let log = String(
      decoding: try Workshop.shared().bytes("runs/\(name)/metrics.jsonl"), as: UTF8.self)
    return log.split(separator: "\n").compactMap { line in
      line.hasPrefix("{\"kind\":\"step\",\"step\":")
        ? Int(line.dropFirst("{\"kind\":\"step\",\"step\":".count).prefix { $0 != "," }) : nil
    }
  }

  @Test func `a second interruption stops at once`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("interrupted")
    // Steps of many seconds: the first interruption cannot have been heard.
    let child = try workshop.start(
      Ranks.one.words(
        workshop.training(
          name, ["training.batch=8192", "data.sequenceLength=128", "training.microBatch=64"])))
    let patience = ContinuousClock.now + .seconds(10)
    while child.isRunning && ContinuousClock.now < patience {
      if FileManager.default.fileExists(atPath: workshop.path("runs/\(name)/metrics.jsonl")) {
        break
      }
      usleep(2000)
    }
    // Training begins once the file is there.
    usleep(300_000)
    child.send(SIGINT)
    usleep(200_000)
    #expect(child.isRunning)
    let moment = ContinuousClock.now
    child.send(SIGINT)
    let outcome = child.wait()
    #expect(ContinuousClock.now - moment < .seconds(1))
    #expect(outcome.status == 130)
  }
}
