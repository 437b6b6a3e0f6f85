// One update of parameters from their gradients, in one pass over memory.

import Glibc

/// Numbers of one AdamW update (Loshchilov & Hutter 2019).
public struct AdamWStep: Sendable {
  public var learningRate: Double
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  /// Decay is decoupled: parameters shrink by learningRate · weightDecay.
  public var weightDecay: Double
  /// 1 for the first update.
  public var step: Int
  /// Each gradient is multiplied by this first, as clipping wants.
  public var gradientScale: Double

  public init(
    learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double,
    step: Int, gradientScale: Double = 1
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.step = step
    self.gradientScale = gradientScale
  }
}

/// m = β₁m + (1 − β₁)g, v = β₂v + (1 − β₂)g², p = p·(1 − lr·decay) − lr·m̂ / (√v̂ + ε), with
/// m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ), as PyTorch's AdamW.
public func adamW(
  _ step: AdamWStep, parameters: Matrix, gradients: Matrix, firstMoments: Matrix,
  secondMoments: Matrix, team: ThreadTeam
) {
  requireAlike(parameters, gradients, firstMoments, secondMoments)
  require(step.step >= 1, "AdamW's step \(step.step), the first of which is 1")
  switch parameters.precision {
  case .float32:
    update(Float.self, step, parameters, gradients, firstMoments, secondMoments, team)
  case .float64:
    update(Double.self, step, parameters, gradients, firstMoments, secondMoments, team)
  }
}

/// p −= learningRate · gradientScale · g.
public func sgd(
  learningRate: Double, gradientScale: Double = 1, parameters: Matrix, gradients: Matrix,
  team: ThreadTeam
) {
  accumulate(gradients, scale: -learningRate * gradientScale, into: parameters, team: team)
}

@inline(__always)
private func update<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ step: AdamWStep, _ parameters: Matrix, _ gradients: Matrix,
  _ firstMoments: Matrix, _ secondMoments: Matrix, _ team: ThreadTeam
) {
  let rate = -step.learningRate / (1 - pow(step.beta1, Double(step.step)))
  let correction = 1 / sqrt(1 - pow(step.beta2, Double(step.step)))
  let contiguous =
    parameters.isContiguous && gradients.isContiguous && firstMoments.isContiguous
    && secondMoments.isContiguous
  team.forSpans(of: parameters, contiguous: contiguous) { row, column, count in
    let p = parameters.row(type, row) + column
    let g = gradients.row(type, row) + column
    let m = firstMoments.row(type, row) + column
    let v = secondMoments.row(type, row) + column
    // Made here and not captured: a closure with captured lanes calls the square root's shim.
    func lanes(_ value: Double) -> Scalar.Lanes { Scalar.Lanes(Scalar(value)) }
    let factor = lanes(step.gradientScale)
    let keep1 = lanes(step.beta1)
    let take1 = lanes(1 - step.beta1)
    let keep2 = lanes(step.beta2)
    let take2 = lanes(1 - step.beta2)
    let shrink = lanes(1 - step.learningRate * step.weightDecay)
    let rate = lanes(rate)
    let correction = lanes(correction)
    let epsilon = lanes(step.epsilon)
    forLanes(type, count) { i, n in
      // Read before anything is written: arrays that begin on equal places of pages look alike to the
      // processor, and a read that follows a write waits for it.
      let parameter = p.lanes(i, n)
      let gradient = g.lanes(i, n) * factor
      let first = (m.lanes(i, n) * keep1).adding(gradient, times: take1)
      let second = (v.lanes(i, n) * keep2).adding(gradient * gradient, times: take2)
      m.set(i, n, first)
      v.set(i, n, second)
      let denominator = epsilon.adding(second.squareRoot(), times: correction)
      p.set(
        i, n, (parameter * shrink).adding(first * rate, times: Scalar.Lanes(1) / denominator))
    }
  }
}
