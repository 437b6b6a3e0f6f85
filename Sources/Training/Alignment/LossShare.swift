// What a rank adds to the objective: a value, and its derivative by each of the rank's numbers.

import Tensors

/// One rank's part of a loss term: a local sum that was divided by a global count, so that the sum
/// over ranks is the term. Where a group holds a value alike, each rank evaluates only its own items.
public struct LossShare: Sendable, Equatable {
  public var value: Double
  /// By what the loss is a function of, element by element.
  public var gradient: [Double]

  public init(value: Double, gradient: [Double]) {
    self.value = value
    self.gradient = gradient
  }

  /// The share on the tape of `x`, whose values it was computed from.
  public func loss(of x: Variable) -> Variable { scalar(value, from: [(x, gradient)]) }
}
