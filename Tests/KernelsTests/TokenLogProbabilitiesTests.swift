// Token log-probabilities against log softmax in Double.

import Foundation
import Kernels
import Testing

private func labels(_ shape: Shape) -> [Int32] {
  (0..<shape.rows).map { $0 % 3 == 2 ? -100 : Int32(($0 * 31 + shape.columns - 1) % shape.columns) }
}

private func logSumExps(_ x: Sample) -> [Double] {
  (0..<x.matrix.rows).map { row in
    log((0..<x.matrix.columns).reduce(0) { $0 + exp(x[row, $1]) })
  }
}

@Test(arguments: Shape.all)
func `token log-probabilities are log softmax at the label, 0 without one`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let labels = labels(shape)
  let found = results { team in
    let y = Sample.column(for: shape)
    let totals = Sample.column(for: shape)
    tokenLogProbabilities(
      x.matrix, labels: labels, into: y.matrix, logSumExp: totals.matrix, team: team)
    return [y, totals]
  }
  let totals = logSumExps(x)
  expectClose(found[1].values, totals, tolerance: shape.tolerance)
  let truth = (0..<shape.rows).map {
    labels[$0] == -100 ? 0 : x[$0, Int(labels[$0])] - totals[$0]
  }
  expectClose(found[0].values, truth, tolerance: shape.columns == 1 ? 1 : 2 * shape.tolerance)
}

@Test(arguments: Shape.all)
func `their gradient is g · (onehot − softmax), in place too`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let g = Sample.column(random: 2, shape)
  let labels = labels(shape)
  let found = results { team in
    let totals = Sample.column(for: shape)
    logSumExp(x.matrix, into: totals.matrix, team: team)
    let dx = Sample(for: shape)
    let inPlace = x.copy
    for (source, target) in [(x, dx), (inPlace, inPlace)] {
      tokenLogProbabilitiesGradient(
        g.matrix, logits: source.matrix, labels: labels, logSumExp: totals.matrix,
        into: target.matrix, team: team)
    }
    return [dx, inPlace, totals]
  }
  let totals = logSumExps(x)
  var truth: [Double] = []
  for row in 0..<shape.rows {
    for column in 0..<shape.columns {
      let oneHot = column == Int(labels[row]) ? 1.0 : 0
      let probability = exp(x[row, column] - totals[row])
      truth.append(labels[row] == -100 ? 0 : g[row, 0] * (oneHot - probability))
    }
  }
  expectClose(found[0].values, truth, tolerance: shape.columns == 1 ? 1 : 2 * shape.tolerance)
  #expect(found[1].bits == found[0].bits)
}

@Test(arguments: Shape.differentiable)
func `their gradient is their central difference`(_ shape: Shape) {
  guard shape.columns > 1 else { return }
  let x = Sample(random: 1, shape)
  let g = Sample.column(random: 2, shape)
  let labels = labels(shape)
  let y = Sample.column(for: shape)
  let totals = Sample.column(for: shape)
  let dx = Sample(for: shape)
  let team = ThreadTeam(size: 1)
  func forward() -> [Double] {
    tokenLogProbabilities(
      x.matrix, labels: labels, into: y.matrix, logSumExp: totals.matrix, team: team)
    return y.values
  }
  _ = forward()
  tokenLogProbabilitiesGradient(
    g.matrix, logits: x.matrix, labels: labels, logSumExp: totals.matrix, into: dx.matrix,
    team: team)
  expectClose(
    dx.values, centralDifferences(of: x, weights: g.values, forward),
    tolerance: differenceTolerance)
  withExtendedLifetime(totals) {}
}
