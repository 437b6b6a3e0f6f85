// Optimiser updates against their formulas in Double.

import Foundation
import Kernels
import Testing

@Test(arguments: Shape.all)
func `AdamW is its formula over three steps`(_ shape: Shape) {
  let start = Sample(random: 1, shape)
  let gradients = (0..<3).map { Sample(random: 2 + UInt64($0), shape) }
  let (rate, beta1, beta2, epsilon, decay, factor) = (0.01, 0.9, 0.95, 1e-8, 0.1, 0.5)
  let found = results { team in
    let p = start.copy
    let m = Sample(shape.rows, shape.columns, gap: shape.gap, shape.precision) { _, _ in 0 }
    let v = m.copy
    for (index, gradient) in gradients.enumerated() {
      adamW(
        AdamWStep(
          learningRate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: decay,
          step: index + 1, gradientScale: factor),
        parameters: p.matrix, gradients: gradient.matrix, firstMoments: m.matrix,
        secondMoments: v.matrix, team: team)
    }
    return [p, m, v]
  }
  var p = start.values
  var m = p.map { _ in 0.0 }
  var v = m
  for (index, gradient) in gradients.enumerated() {
    let step = Double(index + 1)
    for (i, value) in gradient.values.enumerated() {
      let g = value * factor
      m[i] = beta1 * m[i] + (1 - beta1) * g
      v[i] = beta2 * v[i] + (1 - beta2) * g * g
      let mHat = m[i] / (1 - pow(beta1, step))
      let vHat = v[i] / (1 - pow(beta2, step))
      p[i] -= rate * decay * p[i]
      p[i] -= rate * mHat / (vHat.squareRoot() + epsilon)
    }
  }
  expectClose(found[0].values, p, tolerance: shape.tolerance)
  expectClose(found[1].values, m, tolerance: shape.tolerance)
  expectClose(found[2].values, v, tolerance: shape.tolerance)
}

@Test(arguments: Shape.all)
func `gradient descent subtracts the scaled gradient`(_ shape: Shape) {
  let start = Sample(random: 1, shape)
  let gradient = Sample(random: 2, shape)
  let found = results { team in
    let p = start.copy
    sgd(
      learningRate: 0.25, gradientScale: 0.5, parameters: p.matrix, gradients: gradient.matrix,
      team: team)
    return [p]
  }
  expectClose(
    found[0].values, zip(start.values, gradient.values).map { $0 - 0.125 * $1 },
    tolerance: shape.tolerance)
}
