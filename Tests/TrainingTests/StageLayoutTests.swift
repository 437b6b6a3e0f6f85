// No layout of ranks changes what a stage computes: against one rank, in float64.

import Foundation
import Parallel
import Stages
import Testing
import Training
import Transformer

@Suite struct StageLayoutTests {
  /// A stage with options that meet different collectives.
  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let stage: StageName
    let change: @Sendable (inout RunConfiguration) -> Void

    static let all = [
      Case(testDescription: "sft", stage: .sft) { _ in },
      Case(testDescription: "sft, accumulated, balance of sequences", stage: .sft) {
        $0.training.microBatch = 2
        $0.model.router.balanceScope = .sequence
      },
      Case(testDescription: "sft, capacity", stage: .sft) { $0.model.router.capacityFactor = 0.8 },
      Case(testDescription: "reward", stage: .reward) { $0.reward.centring = 0.1 },
      Case(testDescription: "reward, accumulated, recomputed", stage: .reward) {
        $0.training.microBatch = 2
        $0.training.recompute = .block
      },
      Case(testDescription: "dpo", stage: .dpo) { $0.preference.labelSmoothing = 0.1 },
      Case(testDescription: "dpo, IPO by token, reference-free, accumulated", stage: .dpo) {
        $0.preference.kind = .ipo
        $0.preference.scale = .token
        $0.preference.reference = .none
        $0.training.microBatch = 1
      },
    ]
  }

  private struct Measure: Sendable {
    /// Loss, balance, z, norm, then the stage's figures of the first step.
    var terms: [Double]
    var shapes: [[Int]]
    var slices: [[Range<Int>]]
    var gradients: [[Double]]
    /// Of each further step.
    var losses: [Double]
  }

  private func measure(
    _ configuration: RunConfiguration, layout: String, ranks: Int, steps: Int
  ) throws -> [Measure] {
    var configuration = configuration
    // Each layout computes its own reference.
    configuration.run.folder += "/\(layout)"
    return try InProcessRanks.run(ranks) { [configuration] world in
      let mesh = ProcessMesh(world, layout: try Layout(layout, ranks: ranks))
      let (stage, trainer) = try StageFixture.ready(configuration, on: mesh)
      let result = trainer.gradients(stage.microBatches(step: 0, over: trainer.data))
      let parameters = trainer.model.parameters.parameters
      var measure = Measure(
        terms: [result.loss, result.balance, result.z, result.gradientNorm]
          + stage.figures(result, over: world).map(\.value),
        shapes: parameters.map(\.shape), slices: parameters.map(\.slice),
        gradients: parameters.map(\.gradient.elements), losses: [])
      for step in 0..<steps {
        let batches = stage.microBatches(step: step, over: trainer.data)
        measure.losses.append(
          try trainer.step(batches, step: step + 1, learningRate: 1e-3).loss)
      }
      return measure
    }
  }

  private func compare(_ found: [Measure], with one: Measure, _ what: String) {
    let largest = one.gradients.joined().reduce(0) { max($0, abs($1)) }
    for rank in found {
      expectEqual(rank.terms, one.terms, "\(what): terms", within: StageBar.layout)
      for (index, own) in rank.gradients.enumerated() {
        let whole = elements(
          of: one.gradients[index], shape: one.shapes[index], in: rank.slices[index])
        let size = max(one.gradients[index].reduce(0) { max($0, abs($1)) }, 1e-6 * largest)
        let worst = zip(own, whole).reduce(0) { max($0, abs($1.0 - $1.1)) } / size
        #expect(
          own.count == whole.count && worst <= StageBar.layout,
          "\(what): gradient \(index) of \(one.shapes[index]) differs by \(worst)")
      }
      expectEqual(rank.losses, one.losses, "\(what): losses", within: StageBar.trajectory)
    }
  }

  @Test(arguments: Case.all)
  func `a layout changes no loss, no figure and no gradient of a stage`(kind: Case) throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(kind.stage, kind.change)
    let one = try measure(configuration, layout: "data=1", ranks: 1, steps: 0)[0]
    #expect(one.gradients.joined().contains { $0 != 0 })
    for (layout, ranks) in StageFixture.layouts {
      compare(
        try measure(configuration, layout: layout, ranks: ranks, steps: 0), with: one,
        "\(kind.testDescription), \(layout)")
    }
  }

  @Test(arguments: [StageName.sft, .reward, .dpo])
  func `twenty steps of a stage agree under layouts of two, four and eight ranks`(
    stage: StageName
  ) throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(stage)
    let one = try measure(configuration, layout: "data=1", ranks: 1, steps: 20)[0]
    #expect(one.losses.last! < one.losses.first!)
    for (layout, ranks) in [("data=2", 2), ("tensor=2,expert=4", 4), ("tensor=2,expert=8", 8)] {
      compare(
        try measure(configuration, layout: layout, ranks: ranks, steps: 20), with: one,
        "\(stage.rawValue), \(layout)")
    }
  }

  @Test func `equal weights make equal checkpoints, whatever layout holds them`() throws {
    let fixture = try StageFixture()
    var checkpoints: [[String: Data]] = []
    for (tensor, expert) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
      // Nothing is learnt: the weights are those that were drawn.
      let configuration = fixture.configuration(.sft) {
        ($0.layout.tensor, $0.layout.expert) = (tensor, expert)
        $0.training.steps = 1
        $0.optimizer.learningRate = 0
      }
      _ = try fixture.run(configuration, ranks: 2)
      let run = "\(configuration.run.folder)/sft"
      let folder = try CheckpointFolder(path: "\(run)/step-00000001")
      // Moments are sums of the layout's own order.
      let names = folder.files.map(\.name).filter { !$0.hasPrefix(CheckpointPart.optimizer) }
      checkpoints.append(
        try Dictionary(
          uniqueKeysWithValues: names.map {
            ($0, try Data(contentsOf: URL(filePath: "\(folder.path)/\($0)")))
          }))
      try FileManager.default.removeItem(atPath: run)
    }
    #expect(checkpoints[0].keys.contains(CheckpointPart.configuration))
    #expect(checkpoints.allSatisfy { $0 == checkpoints[0] })
  }
}
