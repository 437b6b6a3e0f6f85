// Data parallelism: the number of ranks changes nothing but the order of sums.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct DataParallelTests {
  private struct Result: Sendable {
    var weights: [String: [Double]]
    var losses: [Double]
    var gradients: [String: [Double]]
  }

  private func run(
    ranks: Int, precision: Precision, steps: Int,
    _ change: @escaping @Sendable (inout ModelConfiguration) -> Void = { _ in }
  ) throws -> [Result] {
    try InProcessRanks.run(ranks) { world in
      let mesh = ProcessMesh(world, layout: try Layout(ranks: ranks))
      let run = try TinyRun(precision: precision, mesh: mesh, change)
      let weights = run.weights
      let gradients = try run.gradients()
      let losses = try (0..<steps).map { step in
        try run.trainer.step(
          run.microBatches(step: step), step: step + 1, learningRate: 1e-3
        ).loss
      }
      return Result(weights: weights, losses: losses, gradients: gradients)
    }
  }

  @Test(arguments: [2, 3, 4, 7], BalanceScope.allCases)
  func `ranks do not change the gradient`(ranks: Int, scope: BalanceScope) throws {
    let change: @Sendable (inout ModelConfiguration) -> Void = { $0.router.balanceScope = scope }
    let one = try run(ranks: 1, precision: .float64, steps: 0, change)[0]
    for other in try run(ranks: ranks, precision: .float64, steps: 0, change) {
      #expect(other.weights == one.weights)
      for (name, gradient) in one.gradients {
        let error = relativeError(other.gradients[name]!, gradient)
        #expect(error <= Bar.layout, "\(name): \(error)")
      }
    }
  }

  @Test(arguments: [2, 4], [(Precision.float32, 1e-5), (.float64, 1e-11)])
  func `the losses of 20 steps agree`(ranks: Int, bar: (Precision, Double)) throws {
    let one = try run(ranks: 1, precision: bar.0, steps: 20)[0]
    for other in try run(ranks: ranks, precision: bar.0, steps: 20) {
      let error = relativeError(other.losses, one.losses)
      #expect(error <= bar.1, "\(error)")
    }
  }

  @Test func `ranks stay equal bit for bit`() throws {
    let results = try run(ranks: 4, precision: .float32, steps: 5)
    for other in results.dropFirst() {
      #expect(other.losses == results[0].losses)
      #expect(other.gradients == results[0].gradients)
    }
  }
}
