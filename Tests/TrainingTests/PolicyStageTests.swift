// PPO and GRPO: no layout changes them, and the first ratio is 1.

import Foundation
import Kernels
import Parallel
import Stages
import Testing
import Training
import Transformer

@Suite struct PolicyStageTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let stage: StageName
    let change: @Sendable (inout RunConfiguration) -> Void

    static let all = [
      Case(testDescription: "ppo, exact KL in the loss", stage: .ppo) { _ in },
      Case(testDescription: "ppo, k1 in the reward, reward model, replay", stage: .ppo) {
        ($0.ppo.klPlacement, $0.ppo.klEstimator) = (.reward, .k1)
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\($0.run.folder)/reward"
        $0.rollout.scoreScale = .start
        $0.rollout.routing = .replay
        $0.training.microBatch = 2
      },
      Case(testDescription: "ppo, k3 in the loss, recomputed", stage: .ppo) {
        $0.ppo.klEstimator = .k3
        $0.training.recompute = .block
      },
      Case(testDescription: "ppo, tokens asked for, replay, reward model", stage: .ppo) {
        ($0.model.router.balanceCoefficient, $0.model.router.zCoefficient) = (0, 0)
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\($0.run.folder)/reward"
        $0.rollout.routing = .replay
      },
      Case(testDescription: "grpo, tokens asked for, recomputed", stage: .grpo) {
        ($0.model.router.balanceCoefficient, $0.model.router.zCoefficient) = (0, 0)
        $0.training.recompute = .block
      },
      Case(testDescription: "grpo", stage: .grpo) { $0.grpo.klCoefficient = 0.1 },
      Case(testDescription: "grpo of sequences, accumulated", stage: .grpo) {
        $0.grpo.importance = .sequence
        $0.grpo.form = .drGRPO
        $0.training.microBatch = 2
      },
    ]
  }

  /// What one rank saw.
  private struct Measure: Sendable {
    var figures: [[Double]] = []
    var losses: [Double] = []
    /// First moments after the first step, by part of a parameter: a tenth of the gradient.
    var moments: [(name: String, part: SlicePart, values: [Double])] = []
    /// Answers that this rank judged by rule.
    var answers: [String] = []
  }

  private final class Judged: @unchecked Sendable {
    // @unchecked: ranks add under the lock.
    private let lock = NSLock()
    private var answers: Set<String> = []
    func add(_ prompt: [Int32], _ answer: [Int32]) {
      lock.withLock { _ = answers.insert("\(prompt) \(answer)") }
    }
    var all: Set<String> { lock.withLock { answers } }
  }

  private func measure(
    _ configuration: RunConfiguration, layout: String, ranks: Int, steps: Int
  ) throws -> (ranks: [Measure], answers: Set<String>) {
    let judged = Judged()
    let measures = try InProcessRanks.run(ranks) { world in
      let mesh = ProcessMesh(world, layout: try Layout(layout, ranks: ranks))
      let (stage, trainer) = try StageFixture.ready(configuration, on: mesh, clip: 0) {
        judged.add($0, $1)
        return StageFixture.rule($0, $1)
      }
      trainer.critic?.clip = 0
      var measure = Measure()
      for step in 0..<steps {
        let result = try stage.step(trainer, step: step, learningRate: 1e-3)
        measure.losses.append(result.loss)
        measure.figures.append(stage.figures(result, over: world).map(\.value))
        guard step == 0 else { continue }
        for (model, trainer) in [("policy", trainer), ("critic", trainer.critic)] {
          guard let trainer else { continue }
          let moments = trainer.optimizer.firstMoments.elements
          for piece in trainer.model.parameters.pieces {
            measure.moments.append(
              ("\(model) \(piece.parameter.name)", piece.part, Array(moments[piece.place])))
          }
        }
      }
      return measure
    }
    return (measures, judged.all)
  }

  private func compare(
    _ found: [Measure], with one: Measure, _ what: String, figures: Double
  ) {
    let largest = one.moments.flatMap(\.values).reduce(0) { max($0, abs($1)) }
    let whole = Dictionary(uniqueKeysWithValues: one.moments.map { ($0.name, $0.values) })
    if found.contains(where: { !$0.moments.isEmpty }) {
      for (name, values) in whole {
        let learnt = found.flatMap(\.moments).reduce(0) {
          $0 + ($1.name == name ? $1.values.count : 0)
        }
        #expect(learnt == values.count, "\(what): \(learnt) elements of \(name) are learnt")
      }
    }
    for rank in found {
      for (step, values) in rank.figures.enumerated() {
        expectEqual(
          values, one.figures[step], "\(what): figures of step \(step)", within: figures)
      }
      // Means of advantages of mean 0: their terms are of order 1.
      for (loss, expected) in zip(rank.losses, one.losses) {
        #expect(abs(loss - expected) <= figures, "\(what): loss \(loss) instead of \(expected)")
      }
      for (name, part, values) in rank.moments {
        guard let all = whole[name] else {
          Issue.record("\(what): no \(name)")
          continue
        }
        var expected: [Double] = []
        part.forEachRun(0..<part.count) { _, first, count in
          expected += all[first..<first + count]
        }
        let size = max(all.reduce(0) { max($0, abs($1)) }, 1e-6 * largest)
        let worst = zip(values, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / size
        #expect(
          values.count == expected.count && worst <= StageBar.layout,
          "\(what): gradient of \(name) differs by \(worst)")
      }
    }
  }

  @Test(arguments: [StageName.ppo, .grpo])
  func `shared rows and tokens asked for teach what rows of one answer and all tokens teach`(
    kind: StageName
  ) throws {
    let fixture = try StageFixture.withFirstModels()
    func measured(balance: Double) throws -> [Measure] {
      let configuration = fixture.configuration(kind) {
        ($0.rollout.epochs, $0.rollout.minibatches) = (1, 1)
        $0.model.router.balanceScope = .sequence
        ($0.model.router.balanceCoefficient, $0.model.router.zCoefficient) = (balance, 0)
      }
      return try measure(configuration, layout: "data=1", ranks: 1, steps: 1).ranks
    }
    // Sequences that are balanced one by one have rows of their own, and ask for all tokens; so little
    // balance teaches nothing.
    let apart = try measured(balance: 1e-30)
    compare(try measured(balance: 0), with: apart[0], "\(kind)", figures: StageBar.layout)
  }

  @Test(arguments: Case.all)
  func `a layout changes no answer, no figure and no gradient of a policy's stage`(
    kind: Case
  ) throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(kind.stage) {
      kind.change(&$0)
      // One update, whose moments are its gradient.
      ($0.rollout.epochs, $0.rollout.minibatches) = (1, 1)
    }
    let one = try measure(configuration, layout: "data=1", ranks: 1, steps: 1)
    #expect(one.ranks[0].moments.contains { $0.values.contains { $0 != 0 } })
    for (layout, ranks) in StageFixture.layouts {
      let other = try measure(configuration, layout: layout, ranks: ranks, steps: 1)
      let what = "\(kind.testDescription), \(layout)"
      #expect(other.answers == one.answers, "\(what): answers differ")
      compare(other.ranks, with: one.ranks[0], what, figures: StageBar.layout)
    }
  }

  @Test(arguments: [StageName.ppo, .grpo])
  func `twenty iterations agree under layouts of two, four and eight ranks`(
    stage: StageName
  ) throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(stage)
    let one = try measure(configuration, layout: "data=1", ranks: 1, steps: 20)
    let layouts = [
      ("data=2", 2), ("tensor=2,expert=4", 4), ("tensor=2,expert=2", 4), ("tensor=2,expert=8", 8),
    ]
    for (layout, ranks) in layouts {
      let other = try measure(configuration, layout: layout, ranks: ranks, steps: 20)
      #expect(other.answers == one.answers, "\(stage.rawValue), \(layout): answers differ")
      compare(
        other.ranks.map { rank in
          var rank = rank
          rank.moments = []
          return rank
        }, with: one.ranks[0], "\(stage.rawValue), \(layout)", figures: StageBar.trajectory)
    }
  }

  private func figures(
    _ configuration: RunConfiguration, steps: Int, learningRate: Double = 1e-3
  ) throws -> [[String: Double]] {
    let (stage, trainer) = try StageFixture.ready(configuration, on: .single())
    try StartCheckpoint(configuration)?.load(into: trainer.model, over: .alone())
    return try (0..<steps).map { step in
      let result = try stage.step(trainer, step: step, learningRate: learningRate)
      return Dictionary(
        stage.figures(result, over: .alone()).map { ($0.name, $0.value) },
        uniquingKeysWith: { first, _ in first })
    }
  }

  @Test(arguments: Case.all, [Precision.float64, .float32])
  func `the first ratio is 1, and equal policies have no divergence`(
    kind: Case, precision: Precision
  ) throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(kind.stage) {
      kind.change(&$0)
      $0.run.precision = precision
    }
    let shown = try figures(configuration, steps: 3)
    // Answers are written a token at a time: OpenBLAS rounds by the number of rows.
    let bar = productKernelName == "AVX-512 panels" ? 0 : precision == .float64 ? 1e-13 : 2e-6
    for step in shown { #expect(abs(step["val/first_ratio"]! - 1) <= bar) }
    for name in ["kl/exact_per_sequence", "kl/k1_per_sequence", "kl/k3_per_token"] {
      #expect(abs(shown[0][name]!) <= bar * Double(configuration.rollout.answerTokens), "\(name)")
    }
    #expect(shown[2]["kl/exact_per_sequence"]! > 0)
    #expect((0...1).contains(shown[1]["moe/router_shift"]!))
    if configuration.rollout.routing == .replay {
      #expect(shown.allSatisfy { $0["moe/router_shift"] == 0 })
    }
  }

  @Test func `who sums the critic's gradients is tested before the first step`() throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(.ppo)
    // Two of them sum the policy's gradients, two the critic's.
    let sites = try InProcessRanks.run(4) { world in
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: 4))
      world.startTrace()
      _ = try StageFixture.ready(configuration, on: mesh)
      return world.gatherTraces().flatMap(\.events).compactMap { event in
        if case .collective(_, _, _, let site, _) = event.detail { site } else { nil as String? }
      }
    }[0]
    #expect(sites.contains { $0.hasPrefix("Parallel/Wiring.swift:") })
  }

  @Test func `replayed experts are the policy's, and the critic keeps its own`() throws {
    let fixture = try StageFixture.withFirstModels()
    // A critic of another shape would trap on foreign choices.
    _ = try fixture.run(
      fixture.configuration(.reward) {
        $0.run.name = "other"
        $0.training.steps = 1
        $0.model.layers = 3
        $0.model.router.experts = 4
      })
    let shown = try figures(
      fixture.configuration(.ppo) {
        $0.rollout.routing = .replay
        $0.ppo.critic = "\($0.run.folder)/other"
        // At the first minibatch of the only epoch the values are the old ones.
        ($0.rollout.epochs, $0.rollout.minibatches) = (1, 1)
      }, steps: 1)
    #expect(shown[0]["val/clipfrac_avg"] == 0 && shown[0]["moe/router_shift"] == 0)
  }

  @Test func `rewards rise when a rule is learnt, and the critic explains them`() throws {
    let fixture = try StageFixture.withFirstModels()
    for stage in [StageName.ppo, .grpo] {
      let configuration = fixture.configuration(stage) {
        $0.training.batch = 24
        ($0.rollout.epochs, $0.rollout.minibatches) = (2, 2)
        $0.ppo.klCoefficient = 0
      }
      let shown = try figures(configuration, steps: 40, learningRate: 3e-3)
      func mean(_ name: String, _ steps: ArraySlice<[String: Double]>) -> Double {
        steps.reduce(0) { $0 + $1[name]! } / Double(steps.count)
      }
      let scores = "objective/scores"
      let (first, last) = (mean(scores, shown.prefix(5)), mean(scores, shown.suffix(5)))
      #expect(last > first + 0.2, "\(stage.rawValue): \(first) to \(last)")
      if stage == .ppo {
        let explained = mean("val/explained_variance", shown[10...])
        #expect(explained > shown.first!["val/explained_variance"]!, "explains \(explained)")
      }
    }
  }
}
