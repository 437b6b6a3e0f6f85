// What a user is told about a configuration that cannot be used.

import Foundation
import Parallel
import Testing
import Training

@Suite struct `Configuration mistakes` {
  struct Mistake: Sendable, CustomTestStringConvertible {
    let yaml: String
    let message: String
    var testDescription: String { yaml }
  }

  static let mistakes: [Mistake] = [
    // Names
    Mistake(
      yaml: "model:\n  width: 8\n  widht: 12",
      message: "c.yaml:3:3: there is no setting 'model.widht'; did you mean 'model.width'?"),
    Mistake(
      yaml: "steps: 10",
      message: "c.yaml:1:1: there is no setting 'steps'; did you mean 'training.steps'?"),
    Mistake(
      yaml: "optimiser: {}",
      message: "c.yaml:1:1: there is no setting 'optimiser'; did you mean 'optimizer'?"),
    // The section that was meant goes before the letters.
    Mistake(
      yaml: "model: {expert: 8}",
      message: "c.yaml:1:9: there is no setting 'model.expert'; "
        + "did you mean 'model.router.experts'?"),
    Mistake(
      yaml: "model: {steps: 8}",
      message: "c.yaml:1:9: there is no setting 'model.steps'; did you mean 'training.steps'?"),
    Mistake(
      yaml: "data: {sequence_length: 64}",
      message: "c.yaml:1:8: there is no setting 'data.sequence_length'; "
        + "did you mean 'data.sequenceLength'?"),
    Mistake(
      yaml: "checkpoint: {zzz: 1}",
      message: "c.yaml:1:14: there is no setting 'checkpoint.zzz'; "
        + "accepted: one of checkpoint.every, checkpoint.keep"),
    Mistake(
      yaml: "display: {every: 1, every: 2}",
      message: "c.yaml:1:11: every is given more than once; accepted: each setting once"),
    // Types
    Mistake(
      yaml: "training:\n  steps: many",
      message: "c.yaml:2:10: training.steps is many; accepted: a whole number"),
    Mistake(
      yaml: "training: {steps: 1.5}",
      message: "c.yaml:1:19: training.steps is 1.5; accepted: a whole number"),
    Mistake(
      yaml: "training: {steps: '15'}",
      message: "c.yaml:1:19: training.steps is \"15\"; accepted: a whole number"),
    Mistake(
      yaml: "training: {steps: 99999999999999999999}",
      message: "c.yaml:1:19: training.steps is 99999999999999999999; accepted: a whole number"),
    Mistake(
      yaml: "training: {steps: [1]}",
      message: "c.yaml:1:19: training.steps is [1]; accepted: a whole number"),
    Mistake(
      yaml: "optimizer: {learningRate: nan}",
      message: "c.yaml:1:27: optimizer.learningRate is nan; accepted: a number"),
    Mistake(
      yaml: "optimizer: {learningRate: 1e999}",
      message: "c.yaml:1:27: optimizer.learningRate is 1e999; accepted: a number"),
    Mistake(
      yaml: "optimizer: {learningRate: 0x1p3}",
      message: "c.yaml:1:27: optimizer.learningRate is 0x1p3; accepted: a number"),
    Mistake(
      yaml: "model: {tiedEmbedding: yes}",
      message: "c.yaml:1:24: model.tiedEmbedding is yes; accepted: true or false"),
    Mistake(
      yaml: "model: {denseLayers: [0, x]}",
      message: "c.yaml:1:22: model.denseLayers is [0, x]; "
        + "accepted: a list of whole numbers such as [0, 2]"),
    Mistake(
      yaml: "schedule: {kind: cosin}",
      message: "c.yaml:1:18: schedule.kind is cosin; "
        + "accepted: constant, cosine, linear, warmup-stable-decay"),
    Mistake(
      yaml: "samples:\n  prompt:\n  tokens: 3",
      message: "c.yaml:2:10: samples.prompt is empty; accepted: text"),
    Mistake(
      yaml: "checkpoint: 5",
      message: "c.yaml:1:13: checkpoint is 5; accepted: a mapping of every, keep"),
    // Ranges, within a section and between sections
    Mistake(
      yaml: "training:\n  batch: 0",
      message: "c.yaml:2:10: training.batch is 0; accepted: 1 to 1048576"),
    Mistake(
      yaml: "training: {batch: 4, microBatch: 8}",
      message: "c.yaml:1:34: training.microBatch is 8; "
        + "accepted: 1 to training.batch, 4, or 0 for a rank's whole share"),
    Mistake(
      yaml: "model: {heads: 5}",
      message: "c.yaml:1:16: model.heads is 5; "
        + "accepted: a divisor of width 256, or set model.headWidth"),
    Mistake(
      yaml: "model: {keyValueHeads: 3}",
      message: "c.yaml:1:24: model.keyValueHeads is 3; accepted: a divisor of heads 8"),
    Mistake(
      yaml: "model:\n  router: {experts: 4, expertsPerToken: 5}",
      message: "c.yaml:2:41: model.router.expertsPerToken is 5; "
        + "accepted: 1 to 4, the number of experts"),
    Mistake(
      yaml: "model: {width: 10000000000}",
      message: "c.yaml:1:16: model.width is 10000000000; accepted: 0 to 1048576"),
    Mistake(
      yaml: "model: {width: 254}",
      message: "default: model.heads is 8; "
        + "accepted: a divisor of width 254, or set model.headWidth"),
    Mistake(
      yaml: "model: {vocabulary: -1}",
      message: "c.yaml:1:21: model.vocabulary is -1; "
        + "accepted: 2 or more, or 0 for the tokenizer's size"),
    Mistake(
      yaml: "optimizer: {beta2: 1}",
      message: "c.yaml:1:20: optimizer.beta2 is 1.0; accepted: 0 or more, below 1"),
    Mistake(
      yaml: "schedule: {kind: warmup-stable-decay, warmup: 900, decay: 0.5}",
      message: "c.yaml:1:59: schedule.decay is 0.5; accepted: at most 0.1, what the warm-up leaves"),
    Mistake(
      yaml: "schedule: {warmup: 9223372036854775807}",
      message: "c.yaml:1:20: schedule.warmup is 9223372036854775807; accepted: 0 to 1000000000"),
    Mistake(
      yaml: "samples: {tokens: 9223372036854775807}",
      message: "c.yaml:1:19: samples.tokens is 9223372036854775807; accepted: 0 to 1048576"),
    Mistake(
      yaml: "rollout: {epochs: 9223372036854775807}",
      message: "c.yaml:1:19: rollout.epochs is 9223372036854775807; accepted: 1 to 1000000000"),
    Mistake(
      yaml: "run: {name: ../elsewhere}",
      message: "c.yaml:1:13: run.name is \"../elsewhere\"; "
        + "accepted: letters, digits, '.', '_' and '-', not beginning with '.' or '-'"),
    Mistake(
      yaml: "layout: {expert: 0}",
      message:
        "c.yaml:1:18: layout.expert is 0; accepted: 1 to 65536"),
    // No YAML at all
    Mistake(
      yaml: "# nothing",
      message: "c.yaml: the file holds no settings; accepted: at least one of the sections run, "
        + "data, examples, model, layout, training, optimizer, schedule, reward, preference, "
        + "rollout, ppo, grpo, evaluation, samples, checkpoint, display"),
    Mistake(
      yaml: "run: {name: x",
      message: "c.yaml:2:1: while parsing a flow mapping did not find expected ',' or '}'; "
        + "accepted: YAML, such as 'apus config' prints"),
    Mistake(
      yaml: "\tmodel: 1",
      message: "c.yaml:1:1: while scanning for the next token found character that cannot start "
        + "any token; accepted: YAML, such as 'apus config' prints"),
    Mistake(
      yaml: "model:\n---\nmodel:",
      message: "c.yaml:2:1: expected a single document in the stream but found another document; "
        + "accepted: YAML, such as 'apus config' prints"),
    Mistake(
      yaml: "run: *anchor",
      message: "c.yaml:1:6: found undefined alias; accepted: YAML, such as 'apus config' prints"),
  ]

  @Test(arguments: mistakes)
  func `a mistake in a file is told with its place and what would do`(mistake: Mistake) {
    #expect(refusal { try .read(yaml: mistake.yaml, file: "c.yaml") } == mistake.message)
  }

  @Test(arguments: [
    ("model.width", "there is no '='; accepted: path=value, such as training.steps=300"),
    ("model.widdth=3", "there is no setting 'model.widdth'; did you mean 'model.width'?"),
    ("checkpoint=3", "checkpoint is a section; accepted: one of checkpoint.every, checkpoint.keep"),
    ("training.steps=", "training.steps is empty; accepted: a whole number"),
    ("training.steps=3.0", "training.steps is 3.0; accepted: a whole number"),
    ("training.steps=0", "training.steps is 0; accepted: 1 to 1000000000"),
    ("run.precision=float16", "run.precision is float16; accepted: float32, float64"),
    ("model.denseLayers=[0, 9]", "model.denseLayers is 9; accepted: layers from 0 to 5"),
    (
      "model.denseLayers=0",
      "model.denseLayers is 0; accepted: a list of whole numbers such as [0, 2]"
    ),
  ])
  func `a mistake in a set argument names the argument`(argument: String, rest: String) {
    let expected = "--set \(argument): \(rest)"
    #expect(refusal { try .read(settings: [argument]) } == expected)
  }

  @Test func `a setting given twice on the command line is refused`() {
    #expect(
      refusal { try .read(settings: ["display.every=1", "display.every=2"]) }
        == "--set display.every=2: display.every is given more than once; "
        + "accepted: each setting once")
  }

  @Test func `set goes before the file and is blamed for its own values`() throws {
    let yaml = "training: {steps: 7}\nschedule: {warmup: 0}"
    let configuration = try RunConfiguration.read(
      yaml: yaml, file: "c.yaml",
      settings: ["training.steps=1_000", "samples.prompt=And God said: \"a = b\""])
    #expect(configuration.training.steps == 1000)
    #expect(configuration.samples.prompt == "And God said: \"a = b\"")
    #expect(
      refusal { try .read(yaml: yaml, file: "c.yaml", settings: ["training.steps=-1"]) }
        == "--set training.steps=-1: training.steps is -1; accepted: 1 to 1000000000")
  }

  @Test func `files that are no text are refused by name`() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = "\(folder)/my run.yaml"
    func refusal(of bytes: Data?) throws -> String? {
      try? FileManager.default.removeItem(atPath: file)
      if let bytes { try bytes.write(to: URL(fileURLWithPath: file)) }
      return self.refusal { try .load(file: file) }
    }
    let accepted = "accepted: a readable YAML file in UTF-8"
    #expect(
      try refusal(of: nil)
        == "\(file): cannot open the file: No such file or directory (errno 2); \(accepted)")
    #expect(try refusal(of: Data([0x61, 0xff, 0xfe])) == "\(file): is not UTF-8 text; \(accepted)")
    #expect(
      try refusal(of: Data(count: 2 << 20))
        == "\(file): has 2097152 bytes; at most 1048576 are accepted here; \(accepted)")
    #expect(try refusal(of: Data(count: 3))?.hasPrefix("\(file): control characters") == true)
    #expect(try refusal(of: Data())?.hasPrefix("\(file): the file holds no settings") == true)
    #expect(
      self.refusal { try .load(file: folder) }
        == "\(folder): not a regular file; \(accepted)")
    #expect(try refusal(of: Data("run: {seed: 4}".utf8)) == nil)
    #expect(try RunConfiguration.load(file: file).run.name == "my-run")
  }

  @Test func `a batch with fewer sequences than ranks is refused`() throws {
    let configuration = RunConfiguration()
    try configuration.validate(try Layout(ranks: 16))
    #expect(
      refusal {
        try configuration.validate(try Layout(ranks: 17))
        return configuration
      } == "training.batch is 16; accepted: 17 or more, a sequence for each of the 17 data ranks")
  }

  @Test func `damaged text is read or refused in one line, never a crash`() {
    let whole = Array(RunConfiguration().commentedYAML.utf8)
    var state: UInt64 = 1
    func draw(below bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let splinters = [
      "\n", ":", " - ", "[", "]", "{", "}", "&a ", "*a", "'", "\"", "!!", "|", "0", "é", "\0",
    ]
    var refused = 0
    for _ in 0..<2000 {
      var bytes = whole
      for _ in 0...draw(below: 3) {
        let start = draw(below: bytes.count)
        let end = min(bytes.count, start + draw(below: 12))
        bytes.replaceSubrange(start..<end, with: splinters[draw(below: splinters.count)].utf8)
      }
      do {
        let text = String(decoding: bytes, as: UTF8.self)
        try RunConfiguration.read(yaml: text, file: "c.yaml").validate()
      } catch {
        refused += 1
        #expect(error is ConfigurationError && !"\(error)".contains("\n"), "\(error)")
      }
    }
    #expect(refused > 100)
  }

  /// What the error says; nil if there is none.
  private func refusal(_ body: () throws -> RunConfiguration) -> String? {
    do {
      _ = try body()
      return nil
    } catch {
      return "\(error)"
    }
  }
}
