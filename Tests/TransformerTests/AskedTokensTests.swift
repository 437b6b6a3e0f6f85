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

  @Test func `gradients are those of all tokens with labels at these alone`() throws {
    let changes: [(inout ModelConfiguration) -> Void] = [
      { _ in },
      {
        $0.denseLayers = [1]
        $0.denseWidth = 13
      }, { $0.queryKeyNorm = .head }, { $0.attentionBias = true },
      { $0.router.sharedExperts = 1 }, { $0.layers = 1 },
    ]
    for change in changes {
      let run = try Self.run(change)
      for recomputes in [false, true] {
        run.model.recomputesBlocks = recomputes
        let all = run.trainer.gradients([whole])
        let expected = run.model.parameters.parameters.map(\.gradient.elements)
        let some = run.trainer.gradients([asking])
        #expect(abs(some.loss - all.loss) <= 1e-13 * abs(all.loss))
        for (parameter, expected) in zip(run.model.parameters.parameters, expected) {
          let largest = expected.reduce(0) { max($0, abs($1)) }
          let difference = zip(parameter.gradient.elements, expected).reduce(0) {
            max($0, abs($1.0 - $1.1))
          }
          #expect(difference <= 1e-12 * largest, "\(parameter.name)")
        }
      }
    }
  }

  @Test func `the last router counts the tokens that are asked for`() throws {
    let run = try Self.run()
    let result = run.trainer.gradients([asking])
    #expect(result.counts.tokens == 22 && result.counts.labels == 7)
    #expect(result.counts.routed == [22, 7])
    #expect(result.counts.expertChoices.map { $0.reduce(0, +) } == [44, 14])
    // 1 at perfect balance of a layer's own tokens, whose number it is divided by.
    #expect(result.routers.allSatisfy { $0.balance >= 0.9 })
  }

  @Test func `labels are of the tokens that are asked for`() throws {
    let output = try Self.run().model
    let batch = asking.batch
    let tape = Tape(try Device(precision: .float64, threads: 1), recording: false)
    let all = output.forward(whole.batch, on: tape)
    let some = output.forward(batch, on: tape)
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
