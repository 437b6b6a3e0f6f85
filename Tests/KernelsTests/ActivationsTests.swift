// The gated unit against its formula in Double.

import Foundation
import Kernels
import Testing

private func value(_ activation: Activation, _ x: Double) -> Double {
  switch activation {
  case .silu: x / (1 + exp(-x))
  case .relu: max(x, 0)
  }
}

private func slope(_ activation: Activation, _ x: Double) -> Double {
  let s = 1 / (1 + exp(-x))
  return switch activation {
  case .silu: s * (1 + x * (1 - s))
  case .relu: x > 0 ? 1 : 0
  }
}

@Test(arguments: Shape.all, Activation.allCases)
func `the gated unit is its formula`(_ shape: Shape, _ activation: Activation) {
  let gateUp = Sample(random: 1, shape, columns: 2 * shape.columns)
  let w = Sample.column(random: 2, shape)
  let found = results { team in
    let y = Sample(for: shape)
    let weighted = Sample(for: shape)
    gatedActivation(gateUp.matrix, rowWeights: nil, activation, into: y.matrix, team: team)
    gatedActivation(
      gateUp.matrix, rowWeights: w.matrix, activation, into: weighted.matrix, team: team)
    return [y, weighted]
  }
  let truth = (0..<shape.rows).flatMap { row in
    (0..<shape.columns).map { column in
      value(activation, gateUp[row, column]) * gateUp[row, shape.columns + column]
    }
  }
  expectClose(found[0].values, truth, tolerance: shape.tolerance)
  expectClose(
    found[1].values, truth.indices.map { truth[$0] * w[$0 / shape.columns, 0] },
    tolerance: shape.tolerance)
}

@Test(arguments: Shape.all, Activation.allCases)
func `the gated unit's gradient is its formula, in place too`(
  _ shape: Shape, _ activation: Activation
) {
  let gateUp = Sample(random: 1, shape, columns: 2 * shape.columns)
  let w = Sample.column(random: 2, shape)
  let dy = Sample(random: 3, shape)
  let found = results { team in
    let forward = Sample(for: shape)
    gatedActivation(
      gateUp.matrix, rowWeights: w.matrix, activation, into: forward.matrix, team: team)
    let again = Sample(for: shape)
    let dw = Sample.column(for: shape)
    let d = Sample(for: shape, columns: 2 * shape.columns)
    gatedActivationGradient(
      dy.matrix, gateUp: gateUp.matrix, rowWeights: w.matrix, activation, into: d.matrix,
      activationAgain: again.matrix, rowWeightGradient: dw.matrix, team: team)
    let inPlace = gateUp.copy
    let overwritten = dy.copy
    gatedActivationGradient(
      overwritten.matrix, gateUp: inPlace.matrix, rowWeights: w.matrix, activation,
      into: inPlace.matrix, activationAgain: overwritten.matrix, rowWeightGradient: nil,
      team: team)
    let unweighted = Sample(for: shape, columns: 2 * shape.columns)
    gatedActivationGradient(
      dy.matrix, gateUp: gateUp.matrix, rowWeights: nil, activation, into: unweighted.matrix,
      activationAgain: nil, rowWeightGradient: nil, team: team)
    return [d, dw, inPlace, overwritten, again, forward, unweighted]
  }
  var dw: [Double] = []
  var unweighted: [Double] = []
  for row in 0..<shape.rows {
    let columns = 0..<shape.columns
    let f = columns.map { value(activation, gateUp[row, $0]) }
    let up = columns.map { gateUp[row, shape.columns + $0] }
    dw.append(columns.reduce(0) { $0 + dy[row, $1] * f[$1] * up[$1] })
    unweighted += columns.map { dy[row, $0] * up[$0] * slope(activation, gateUp[row, $0]) }
    unweighted += columns.map { dy[row, $0] * f[$0] }
  }
  let weighted = unweighted.indices.map { unweighted[$0] * w[$0 / (2 * shape.columns), 0] }
  expectClose(found[0].values, weighted, tolerance: 2 * shape.tolerance)
  expectClose(found[1].values, dw, tolerance: 2 * shape.tolerance)
  #expect(found[2].bits == found[0].bits)
  #expect(found[3].bits == found[4].bits)
  expectClose(found[4].values, found[5].values, tolerance: shape.tolerance)
  expectClose(found[6].values, unweighted, tolerance: 2 * shape.tolerance)
}

@Test(arguments: Shape.differentiable, Activation.allCases)
func `the gated unit's gradients are its central differences`(
  _ shape: Shape, _ activation: Activation
) {
  let gateUp = Sample(random: 1, shape, columns: 2 * shape.columns)
  let w = Sample.column(random: 2, shape)
  let dy = Sample(random: 3, shape)
  let d = Sample(for: shape, columns: 2 * shape.columns)
  let dw = Sample.column(for: shape)
  let team = ThreadTeam(size: 1)
  // A step of 2e-4 must not cross the corner of relu.
  for row in 0..<shape.rows {
    for column in 0..<shape.columns where abs(gateUp[row, column]) < 1e-3 {
      gateUp[row, column] = 0.1
    }
  }
  func forward() -> [Double] {
    let y = Sample(for: shape)
    gatedActivation(gateUp.matrix, rowWeights: w.matrix, activation, into: y.matrix, team: team)
    return y.values
  }
  gatedActivationGradient(
    dy.matrix, gateUp: gateUp.matrix, rowWeights: w.matrix, activation, into: d.matrix,
    activationAgain: nil, rowWeightGradient: dw.matrix, team: team)
  expectClose(
    d.values, centralDifferences(of: gateUp, weights: dy.values, forward),
    tolerance: differenceTolerance)
  expectClose(
    dw.values, centralDifferences(of: w, weights: dy.values, forward),
    tolerance: differenceTolerance)
  withExtendedLifetime((gateUp, w)) {}
}

@Test(arguments: Activation.allCases, Precision.allCases)
func `far gates saturate and NaN stays`(_ activation: Activation, _ precision: Precision) {
  let gates = [-1000.0, -90, 90, 1000, .nan, 0]
  let gateUp = Sample(6, 2, precision) { row, column in column == 0 ? gates[row] : 1 }
  let y = Sample(6, 1, precision)
  gatedActivation(
    gateUp.matrix, rowWeights: nil, activation, into: y.matrix, team: ThreadTeam(size: 1))
  #expect(abs(y[0, 0]) < 1e-30 && abs(y[1, 0]) < 1e-30)
  #expect(gateUp[2, 0] == 90 && y[2, 0] == 90 && y[3, 0] == 1000 && y[4, 0].isNaN && y[5, 0] == 0)
}
