// Softmax, sigmoid and log-sum-exp against their formulas in Double.

import Foundation
import Kernels
import Testing

private func softmaxes(_ x: Sample) -> [Double] {
  (0..<x.matrix.rows).flatMap { row in
    let e = (0..<x.matrix.columns).map { exp(x[row, $0]) }
    let total = e.reduce(0, +)
    return e.map { $0 / total }
  }
}

@Test(arguments: Shape.all)
func `softmax and its gradient are their formulas, in place too`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let dy = Sample(random: 2, shape)
  let before = Sample(random: 3, shape)
  let found = results { team in
    let y = Sample(for: shape)
    let inPlace = x.copy
    softmax(x.matrix, into: y.matrix, team: team)
    softmax(inPlace.matrix, into: inPlace.matrix, team: team)
    let dx = Sample(for: shape)
    let added = before.copy
    let overwritten = dy.copy
    softmaxGradient(dy.matrix, softmax: y.matrix, into: dx.matrix, accumulate: false, team: team)
    softmaxGradient(dy.matrix, softmax: y.matrix, into: added.matrix, accumulate: true, team: team)
    softmaxGradient(
      overwritten.matrix, softmax: y.matrix, into: overwritten.matrix, accumulate: false,
      team: team)
    return [y, inPlace, dx, added, overwritten]
  }
  let y = softmaxes(x)
  let dx = (0..<shape.rows).flatMap { row in
    let p = (0..<shape.columns).map { y[row * shape.columns + $0] }
    let mean = p.indices.reduce(0) { $0 + p[$1] * dy[row, $1] }
    return p.indices.map { p[$0] * (dy[row, $0] - mean) }
  }
  expectClose(found[0].values, y, tolerance: shape.tolerance)
  #expect(found[1].bits == found[0].bits)
  // One column: y is 1, its gradient 0, but for the rounding of dy − dy·y.
  expectClose(found[2].values, dx, tolerance: shape.columns == 1 ? 0.1 : 2 * shape.tolerance)
  expectClose(found[3].values, zip(dx, before.values).map(+), tolerance: shape.tolerance)
  #expect(found[4].bits == found[2].bits)
}

@Test(arguments: Shape.all)
func `sigmoid and its gradient are their formulas, in place too`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let dy = Sample(random: 2, shape)
  let before = Sample(random: 3, shape)
  let found = results { team in
    let y = Sample(for: shape)
    let inPlace = x.copy
    sigmoid(x.matrix, into: y.matrix, team: team)
    sigmoid(inPlace.matrix, into: inPlace.matrix, team: team)
    let dx = Sample(for: shape)
    let added = before.copy
    let overwritten = dy.copy
    sigmoidGradient(dy.matrix, sigmoid: y.matrix, into: dx.matrix, accumulate: false, team: team)
    sigmoidGradient(dy.matrix, sigmoid: y.matrix, into: added.matrix, accumulate: true, team: team)
    sigmoidGradient(
      overwritten.matrix, sigmoid: y.matrix, into: overwritten.matrix, accumulate: false,
      team: team)
    return [y, inPlace, dx, added, overwritten]
  }
  let y = x.values.map { 1 / (1 + exp(-$0)) }
  let dx = zip(y, dy.values).map { $0 * (1 - $0) * $1 }
  expectClose(found[0].values, y, tolerance: shape.tolerance)
  #expect(found[1].bits == found[0].bits)
  expectClose(found[2].values, dx, tolerance: shape.tolerance)
  expectClose(found[3].values, zip(dx, before.values).map(+), tolerance: shape.tolerance)
  #expect(found[4].bits == found[2].bits)
}

@Test(arguments: Shape.all)
func `log-sum-exp is its formula`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let found = results { team in
    let y = Sample.column(for: shape)
    logSumExp(x.matrix, into: y.matrix, team: team)
    return [y]
  }
  let truth = (0..<shape.rows).map { row in
    log((0..<shape.columns).reduce(0) { $0 + exp(x[row, $1]) })
  }
  expectClose(found[0].values, truth, tolerance: shape.tolerance)
}

@Test(arguments: Precision.allCases)
func `log-sum-exp of equal numbers is the logarithm of how many they are`(_ precision: Precision) {
  let team = ThreadTeam(size: 1)
  for count in Array(1...70) + [255, 1000, 4096, 50_257, 1_000_003] {
    let zeros = Sample(1, count, precision) { _, _ in 0 }
    let found = Sample(1, 1, precision)
    logSumExp(zeros.matrix, into: found.matrix, team: team)
    let truth = log(Double(count))
    let place = precision == .float32 ? Double(Float(truth).ulp) : truth.ulp
    #expect(abs(found[0, 0] - truth) <= 1.5 * place, "of \(count): \(found[0, 0]), \(truth)")
  }
}

@Test(arguments: Precision.allCases)
func `each value of the exponential within the sigmoid is right to its last places`(
  _ precision: Precision
) {
  // Below −37 a sigmoid in Double is eˣ itself; above, 1.
  let last = precision == .float32 ? 86.0 : 700.0
  let x = Sample(1, 20_001, precision) { -last + last * Double($1) / 20_000 }
  let y = Sample(1, 20_001, precision)
  sigmoid(x.matrix, into: y.matrix, team: ThreadTeam(size: 1))
  var worst = 0.0
  for column in 0..<20_001 {
    let truth = 1 / (1 + exp(-x[0, column]))
    worst = max(worst, abs(y[0, column] - truth) / truth)
  }
  #expect(worst < (precision == .float32 ? 2.4e-7 : 5e-16))
}

@Test(arguments: Precision.allCases)
func `extreme logits give no NaN unless they are`(_ precision: Precision) {
  let infinity = Double.infinity
  let rows: [[Double]] = [
    [1000, 0, -1000], [-infinity, 0, 0], [-3000, -3000, -3000], [0, .nan, 0],
  ]
  let x = Sample(4, 3, precision) { rows[$0][$1] }
  let y = Sample(4, 3, precision)
  let totals = Sample(4, 1, precision)
  let team = ThreadTeam(size: 1)
  softmax(x.matrix, into: y.matrix, team: team)
  logSumExp(x.matrix, into: totals.matrix, team: team)
  #expect(y.values.prefix(6) == [1, 0, 0, 0, 0.5, 0.5])
  expectClose(Array(y.values[6..<9]), [1.0 / 3, 1.0 / 3, 1.0 / 3], tolerance: 1e-7)
  #expect(y.values[9...].allSatisfy { $0.isNaN })
  expectClose(
    Array(totals.values.prefix(3)), [1000, log(2.0), -3000 + log(3.0)], tolerance: 1e-7)
  #expect(totals[3, 0].isNaN)
  let nothing = Sample(1, 3, precision) { _, _ in -infinity }
  logSumExp(nothing.matrix, into: totals.matrix.rows(0, count: 1), team: team)
  #expect(totals[0, 0] == nothing[0, 0])
}

@Test(arguments: Shape.differentiable)
func `gradients of softmax and sigmoid are their central differences`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let dy = Sample(random: 2, shape)
  let y = Sample(for: shape)
  let dx = Sample(for: shape)
  let team = ThreadTeam(size: 1)
  softmax(x.matrix, into: y.matrix, team: team)
  softmaxGradient(dy.matrix, softmax: y.matrix, into: dx.matrix, accumulate: false, team: team)
  if shape.columns > 1 {
    expectClose(
      dx.values,
      centralDifferences(of: x, weights: dy.values) {
        softmax(x.matrix, into: y.matrix, team: team)
        return y.values
      }, tolerance: differenceTolerance)
  }
  sigmoid(x.matrix, into: y.matrix, team: team)
  sigmoidGradient(dy.matrix, sigmoid: y.matrix, into: dx.matrix, accumulate: false, team: team)
  expectClose(
    dx.values,
    centralDifferences(of: x, weights: dy.values) {
      sigmoid(x.matrix, into: y.matrix, team: team)
      return y.values
    }, tolerance: differenceTolerance)
}
