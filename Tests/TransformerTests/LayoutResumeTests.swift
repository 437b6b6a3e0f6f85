// A run that is saved under one layout and goes on under another, for all pairs of six.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct LayoutResumeTests {
  static let layouts: [(text: String, ranks: Int)] = [
    ("", 1), ("", 3), ("tensor=2,expert=4", 4), ("tensor=4,expert=2,expert-tensor=2", 4),
    ("tensor=2,expert=2,expert-tensor=2", 8), ("expert=8", 8),
  ]
  /// Selection biases, shared experts and a key/value head that ranks share.
  static let variant = LayoutVariant("resumed") {
    $0.model.router.score = .sigmoid
    $0.model.router.biasRate = 0.1
    $0.model.router.sharedExperts = 1
    $0.model.keyValueHeads = 2
  }

  /// What a run does between its ranks' start and end.
  private struct Work: Sendable {
    var loads: String?
    var steps = 0..<0
    var saves: String?
  }

  private struct Outcome: Sendable, Equatable {
    var losses: [Double] = []
    var weights: [[Double]] = []
  }

  private func run(_ layout: Int, _ work: Work) throws -> [Outcome] {
    let (text, ranks) = Self.layouts[layout]
    return try InProcessRanks.run(ranks) { world in
      let configuration = Self.variant.configuration
      let mesh = ProcessMesh(world, layout: try Layout(text, ranks: ranks))
      let device = try Device(precision: .float64, threads: 1)
      let model = try LanguageModel(configuration.model, on: device, mesh: mesh, seed: 1)
      let trainer = Trainer(
        model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: 1)
      if let path = work.loads {
        let state = try trainer.load(CheckpointFolder(path: path))
        guard state.step == 2 && trainer.optimizer.updates == 2 else {
          throw FileError(path, "is of step \(state.step), not 2")
        }
      }
      let batches = RandomBatches(configuration, seed: 1)
      var outcome = Outcome()
      for step in work.steps {
        let result = try trainer.step(
          batches.microBatches(step: step, over: trainer.data), step: step + 1, learningRate: 0.01)
        outcome.losses += [result.loss, result.balance, result.gradientNorm]
      }
      if let folder = work.saves {
        try trainer.save(
          RunState(step: 2, seed: 1, tokens: 126, corpus: "c", tokenizer: "t"),
          configuration: configuration.yaml, tokenizer: [], to: Self.store(folder), keep: 0)
      }
      outcome.weights =
        model.parameters.parameters.map(\.value.elements) + model.selectionBiases.map(\.values)
      return outcome
    }
  }

  private static func store(_ folder: String) throws -> CheckpointStore {
    try CheckpointStore(folder: folder, run: "run")
  }

  @Test(arguments: layouts.indices)
  func `a run goes on under every other layout, and its tensors come back unchanged`(
    first: Int
  ) throws {
    let parent = NSTemporaryDirectory() + "/apus-resume-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: parent) }
    _ = try run(first, Work(steps: 0..<2, saves: "\(parent)/first"))
    let saved = "\(parent)/first/run/step-00000002"
    let uninterrupted = try run(first, Work(steps: 0..<4))
    for second in Self.layouts.indices {
      let resumed = try run(second, Work(loads: saved, steps: 2..<4))
      if second == first {
        #expect(
          resumed
            == uninterrupted.map { Outcome(losses: Array($0.losses[6...]), weights: $0.weights) })
      }
      let error = relativeError(resumed[0].losses, Array(uninterrupted[0].losses[6...]))
      #expect(error <= Bar.layout, "\(Self.layouts[first]) to \(Self.layouts[second]): \(error)")
      // There and back without a step.
      _ = try run(second, Work(loads: saved, saves: "\(parent)/\(second)"))
      _ = try run(
        first,
        Work(loads: "\(parent)/\(second)/run/step-00000002", saves: "\(parent)/\(second)-back"))
      let sums = try ["first", "\(second)-back"].map {
        try CheckpointFolder(path: "\(parent)/\($0)/run/step-00000002").files
      }
      #expect(sums[0] == sums[1], "\(Self.layouts[first]) to \(Self.layouts[second]) and back")
    }
  }
}
