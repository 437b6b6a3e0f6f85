// The last layer at the tokens that are asked for: all else is as if the others were computed, too.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct AskedTokensTests {
  /// Two rows of 11 tokens with examples of unequal length; the second row asks for one token.
  private var whole: MicroBatch {
    let length = 11
    var batch = Batch(
      tokens: (0..<2 * length).map { Int32($0 * 7 % 37) }, sequences: 2, length: length)
    let first: [Int32] = [0, 0, 0, 0, 4, 4, 4, 7, 7, 7, 7] + [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8]
    batch.firstKey = first
    batch.positions = first.indices.map { Int32($0 % length) - first[$0] }
    let learned: Set = [2, 3, 5, 6, 9, 10, 19]
    return MicroBatch(
      batch, labels: (0..<2 * length).map { learned.contains($0) ? Int32($0) : -100 })
  }

  private var asking: MicroBatch { whole.asking { $0 != -100 } }

  private static func run(
    _ change: (inout ModelConfiguration) -> Void = { _ in }
  ) throws -> TinyRun {
    try TinyRun(precision: .float64) {
      $0.router.balanceCoefficient = 0
      $0.router.zCoefficient = 0
      change(&$0)
    }
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let change: @Sendable (inout ModelConfiguration) -> Void

    static let all = [
      Case(testDescription: "mixtures") { _ in },
      Case(testDescription: "a dense last layer") {
        $0.denseLayers = [1]
        $0.denseWidth = 13
      },
      Case(testDescription: "norm per head") { $0.queryKeyNorm = .head },
      Case(testDescription: "biases") { $0.attentionBias = true },
      Case(testDescription: "a shared expert") { $0.router.sharedExperts = 1 },
      Case(testDescription: "one layer") { $0.layers = 1 },
    ]
  }

  @Test(arguments: Case.all, [false, true])
  func `gradients are those of all tokens with labels at these alone`(
    kind: Case, recomputes: Bool
  ) throws {
    let run = try Self.run(kind.change)
    run.model.recomputesBlocks = recomputes
    let all = run.trainer.gradients([whole])
    let expected = run.model.parameters.parameters.map(\.gradient.elements)
    let some = run.trainer.gradients([asking])
    #expect(abs(some.loss - all.loss) <= 1e-13 * abs(all.loss))
    for (parameter, expected) in zip(run.model.parameters.parameters, expected) {
      let largest = expected.reduce(0) { max($0, abs($1)) }
      for (index, pair) in zip(parameter.gradient.elements, expected).enumerated() {
        #expect(
          abs(pair.0 - pair.1) <= 1e-12 * largest,
          "\(parameter.name)[\(index)] \(pair.0) instead of \(pair.1)")
      }
    }
  }

  @Test func `a batch that asks for nothing teaches nothing`() throws {
    let run = try Self.run()
    let result = run.trainer.gradients([whole.asking { _ in false }])
    #expect(result.loss == 0 && result.gradientNorm == 0 && result.counts.routed == [22, 0])
  }

  @Test func `the last router counts the tokens that are asked for`() throws {
    let run = try Self.run()
    let result = run.trainer.gradients([asking])
    #expect(result.counts.tokens == 22 && result.counts.labels == 7)
    #expect(result.counts.routed == [22, 7])
    #expect(result.counts.expertChoices.map { $0.reduce(0, +) } == [44, 14])
    // E / (k·T²) · Σ_e (Σ_t p_te) · c_e with the layer's own tokens as T.
    for (layer, tokens) in [22.0, 7.0].enumerated() {
      let (router, chosen) = (result.routers[layer], result.counts.expertChoices[layer])
      let sum = zip(router.probabilities, chosen).reduce(0) { $0 + $1.0 * Double($1.1) }
      let expected = 6 / (2 * tokens * tokens) * sum
      #expect(abs(router.balance - expected) <= 1e-12 * expected)
    }
  }

  @Test func `labels are of the tokens that are asked for`() throws {
    let model = try Self.run().model
    let batch = asking.batch
    let tape = Tape(try Device(precision: .float64, threads: 1), recording: false)
    let all = model.forward(whole.batch, on: tape)
    let some = model.forward(batch, on: tape)
    #expect(some.tokens == 0..<7 && some.hidden.shape == [7, 24])
    #expect(some.routings.map(\.tokens) == [Array(0..<22), [2, 3, 5, 6, 9, 10, 19]])
    let expected = [2, 3, 5, 6, 9, 10, 19].flatMap {
      all.hidden.value.slices($0, count: 1).elements
    }
    for (found, expected) in zip(some.hidden.value.elements, expected) {
      #expect(abs(found - expected) <= 1e-13 * max(1, abs(expected)))
    }
  }
}
