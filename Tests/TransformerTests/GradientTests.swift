// Gradients against central differences, and what must not change them.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

extension OperationCase: CustomTestStringConvertible {
  public var testDescription: String { name }
}

extension ModelCase: CustomTestStringConvertible {
  public var testDescription: String { name }
}

@Suite struct GradientTests {
  /// Central differences with a step of 1e-5 in float64 are good to some 1e-9.
  private static let bar = 1e-7

  @Test(arguments: OperationCase.all)
  func `an operation's pullback agrees with central differences`(
    operation: OperationCase
  ) throws {
    for error in operation.check(on: try Device(precision: .float64, threads: 1)) {
      #expect(error.relative <= Self.bar, "\(error)")
    }
  }

  @Test(arguments: ModelCase.all)
  func `a whole model's gradient agrees with central differences`(model: ModelCase) throws {
    for error in try model.check(on: try Device(precision: .float64, threads: 1)) {
      #expect(error.relative <= Self.bar, "\(error)")
    }
  }

  @Test(arguments: Precision.allCases)
  func `threads do not change a bit of the gradient`(precision: Precision) throws {
    let one = try TinyRun(precision: precision, threads: 1).gradients()
    let two = try TinyRun(precision: precision, threads: 2).gradients()
    let three = try TinyRun(precision: precision, threads: 3).gradients()
    #expect(one == two)
    #expect(one == three)
  }

  @Test func `recomputing blocks does not change a bit of the gradient`() throws {
    let kept = try TinyRun(precision: .float32)
    let recomputed = try TinyRun(precision: .float32)
    recomputed.model.recomputesBlocks = true
    #expect(try kept.gradients() == recomputed.gradients())
  }

  @Test(arguments: BalanceScope.allCases, [1, 2, 3])
  func `accumulation does not change the gradient`(scope: BalanceScope, size: Int) throws {
    let change: @Sendable (inout ModelConfiguration) -> Void = { $0.router.balanceScope = scope }
    let whole = try TinyRun(precision: .float64, change).gradients()
    let parts = try TinyRun(precision: .float64, change).gradients(microBatch: size)
    for (name, gradient) in whole {
      let error = relativeError(parts[name]!, gradient)
      #expect(error <= Bar.layout, "\(name): \(error)")
    }
  }
}
