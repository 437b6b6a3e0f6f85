// What a stage must show whatever it learns: first losses, padding, packing, and what counts.

import Foundation
import Kernels
import Parallel
import Stages
import Tensors
import Testing
import Text
import Training
import Transformer

@Suite struct StageIdentityTests {
  @Test(arguments: [Precision.float64, .float32])
  func `a policy that is its reference loses ln 2 on every pair`(precision: Precision) throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.dpo) { $0.run.precision = precision }
    let (stage, trainer) = try StageFixture.ready(configuration, on: .single())
    let result = trainer.gradients(stage.microBatches(step: 0, over: trainer.data))
    let bar = precision == .float64 ? 1e-13 : 2e-6
    #expect(abs(result.loss - log(2)) <= bar, "\(result.loss)")
    let figures = stage.figures(result, over: .alone())
    #expect(abs(figures.first { $0.name == "rewards/margins" }!.value) <= bar)
    #expect(result.gradientNorm > 1e-3)
    #expect(abs(try #require(stage.evaluate(trainer)?.loss) - log(2)) <= bar)
  }

  @Test func `a zero head loses ln 2 on pairs without margin and calls every pair a tie`() throws {
    let fixture = try StageFixture()
    try fixture.write(
      "plain.jsonl",
      StageFixture.preferences.filter { !$0.contains("margin") }.joined(separator: "\n"))
    let configuration = fixture.configuration(.reward) {
      $0.model.scalarHead = .zero
      $0.examples.training = "\(fixture.folder)/plain.jsonl"
    }
    let (stage, trainer) = try StageFixture.ready(configuration, on: .single())
    let result = trainer.gradients(stage.microBatches(step: 0, over: trainer.data))
    #expect(abs(result.loss - log(2)) <= 1e-15)
    let figures = stage.figures(result, over: .alone())
    #expect(figures.first { $0.name == "accuracy" }!.value == 0)
    #expect(figures.first { $0.name == "max_reward" }!.value == 0)
    let head = trainer.model.parameters.parameters.last!
    #expect(head.name == ScalarHead.parameterName && head.gradient.elements.contains { $0 != 0 })
  }

  @Test func `padding on the left, on the right or none changes no log-probability and no score`()
    throws
  {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.reward)
    let (_, trainer) = try StageFixture.ready(configuration, on: .single())
    let data = try PreferenceData(configuration, over: .alone())
    let pairs = data.training.elements
    let model = trainer.model
    func numbers(_ micro: MicroBatch, places: [Int]) -> [Double] {
      let output = model.forward(micro.batch, on: Tape(trainer.device, recording: false))
      return model.sequenceLogProbabilities(output, labels: micro.labels, micro.batch).value
        .elements
        + model.scores(output, ofTokens: places).value.elements
    }
    for pair in pairs {
      for example in [pair.chosen, pair.rejected] {
        let count = example.tokens.count
        let alone = numbers(
          [ExampleRow([example])].microBatch(length: count, padding: data.template.padding),
          places: [count - 1])
        let right = numbers(
          [ExampleRow([example])].microBatch(length: count + 5, padding: data.template.padding),
          places: [count - 1])
        let filler = [Int32](repeating: data.template.padding, count: 5)
        var batch = Batch(
          tokens: filler + example.tokens, sequences: 1,
          mask: filler.map { _ in false } + example.tokens.map { _ in true })
        batch.positions = filler.map { _ in 0 } + (0..<count).map { Int32($0) }
        batch.firstKey = filler.map { _ in 0 } + example.tokens.map { _ in 5 }
        let left = numbers(
          MicroBatch(batch, labels: filler.map { _ in -100 } + example.labels), places: [count + 4])
        expectEqual(right, alone, "right", within: 1e-13)
        expectEqual(left, alone, "left", within: 1e-13)
      }
    }
  }

  @Test func `packed rows lose and teach what one example a row does`() throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.sft)
    let (_, trainer) = try StageFixture.ready(configuration, on: .single())
    let data = try InstructionData(configuration, over: .alone())
    let examples = data.training.elements
    let packed = ExampleRow.packed(examples, length: 96)
    #expect(packed.count < examples.count)
    func measured(_ rows: [ExampleRow]) -> [[Double]] {
      let result = trainer.gradients([
        rows.microBatch(length: 96, padding: data.template.padding)
      ])
      return [[result.loss, result.balance, result.z]]
        + trainer.model.parameters.parameters.map(\.gradient.elements)
    }
    let alone = measured(examples.map { ExampleRow([$0]) })
    for (mine, theirs) in zip(measured(packed), alone) {
      expectEqual(mine, theirs, "packed", within: StageBar.layout)
    }
  }

  @Test func `an epoch has every example once, whole, in another order than the next`() throws {
    let fixture = try StageFixture()
    let data = try InstructionData(fixture.configuration(.sft), over: .alone())
    let examples = data.training.elements
    let order = ShuffledEpochs(count: examples.count, seed: 1)
    let first = order.order(ofEpoch: 0)
    #expect(first.sorted() == Array(examples.indices) && first != order.order(ofEpoch: 1))
    let packed = ExampleRow.packed(first.map { examples[$0] }, length: 96)
    #expect(packed.allSatisfy { $0.tokens <= 96 })
    let found = packed.flatMap(\.examples).map { "\($0.tokens)" }.sorted()
    #expect(found == examples.map { "\($0.tokens)" }.sorted())
    #expect(
      order.samples(step: 3, batch: 5)
        == (15..<20).map {
          order.order(ofEpoch: $0 / examples.count)[$0 % examples.count]
        })
  }

  @Test func `answers and their stop token are learned, prompts and padding never`() throws {
    let fixture = try StageFixture()
    let data = try InstructionData(fixture.configuration(.sft), over: .alone())
    for micro in data.microBatches(step: 0, over: .alone()) {
      let learned = micro.labels.filter { $0 != -100 }
      #expect(learned.contains(data.template.stop) && !learned.contains(data.template.padding))
      for (place, label) in micro.labels.enumerated() where label != -100 {
        #expect(micro.batch.tokens[place + 1] == label && micro.batch.mask![place])
      }
    }
    let answers = data.training.elements.map { example in
      data.tokenizer.decode(example.labels.filter { $0 != -100 })
    }
    #expect(answers[0] == " four<|im_end|>" && answers[3] == "no<|im_end|>yes<|im_end|>")
    #expect(data.training.elements.allSatisfy { $0.tokens.last == data.template.stop })
  }

  @Test
  func `the loss is the mean over supervised tokens, however they are cut into micro-batches`()
    throws
  {
    let fixture = try StageFixture()
    let losses = try [0, 1, 2, 4].map { size in
      let configuration = fixture.configuration(.sft) { $0.training.microBatch = size }
      let (stage, trainer) = try StageFixture.ready(configuration, on: .single())
      let batches = stage.microBatches(step: 0, over: trainer.data)
      let sum = trainer.model.evaluate(batches, over: .alone())
      let result = trainer.gradients(batches)
      #expect(result.counts.labels == sum.tokens)
      #expect(abs(result.loss - sum.lossPerToken) <= 1e-12)
      return result.loss
    }
    expectEqual(losses, losses.map { _ in losses[0] }, "losses", within: 1e-13)
  }

  @Test func `reference log-probabilities are computed once and belong to weights and pairs`()
    throws
  {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.dpo)
    func kept() throws -> [String: Data] {
      let folder = "\(fixture.folder)/runs/.reference"
      return try Dictionary(
        uniqueKeysWithValues: FileManager.default.contentsOfDirectory(atPath: folder).map {
          ($0, try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)")))
        })
    }
    _ = try StageFixture.ready(configuration, on: .single())
    let first = try kept()
    #expect(first.count == 1)
    // What is kept is what is used: other numbers give another loss.
    let name = try #require(first.keys.first)
    let zeros = [Double](repeating: 0, count: 2 * StageFixture.preferences.count)
    try fixture.write("runs/.reference/\(name)", "\(zeros)")
    let (stage, trainer) = try StageFixture.ready(configuration, on: .single())
    let result = trainer.gradients(stage.microBatches(step: 0, over: trainer.data))
    #expect(abs(result.loss - log(2)) > 1e-3)
    _ = try StageFixture.ready(fixture.configuration(.dpo) { $0.run.seed = 2 }, on: .single())
    #expect(try kept().count == 2)
    try fixture.write("runs/.reference/\(name)", "[1]")
    #expect(throws: RanksFailed.self) {
      try StageFixture.ready(configuration, on: .single())
    }
    // The pairs to evaluate are the first ones still: theirs are made anew.
    try FileManager.default.removeItem(atPath: "\(fixture.folder)/runs/.reference/\(name)")
    try fixture.write("other.jsonl", StageFixture.preferences[0])
    _ = try StageFixture.ready(
      fixture.configuration(.dpo) { $0.examples.training = "\(fixture.folder)/other.jsonl" },
      on: .single())
    #expect(try kept().count == 3)
  }
}
