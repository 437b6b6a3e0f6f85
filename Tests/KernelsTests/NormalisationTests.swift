// RMS norm against its formula in Double.

import Kernels
import Testing

private let epsilon = 1e-5

private func normalised(_ x: Sample, _ w: Sample) -> (y: [Double], r: [Double]) {
  var y: [Double] = []
  var r: [Double] = []
  for row in 0..<x.matrix.rows {
    let values = (0..<x.matrix.columns).map { x[row, $0] }
    let square = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
    r.append(1 / (square + epsilon).squareRoot())
    y += values.indices.map { values[$0] * w[0, $0] * r[row] }
  }
  return (y, r)
}

@Test(arguments: Shape.all)
func `RMS norm is its formula, and the same bits again and in place`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let w = Sample(random: 2, shape, rows: 1)
  let found = results { team in
    let y = Sample(for: shape)
    let again = Sample(for: shape)
    let inPlace = x.copy
    let r = Sample.column(for: shape)
    rmsNorm(
      x.matrix, weight: w.matrix, epsilon: epsilon, into: y.matrix, inverseRMS: r.matrix,
      team: team)
    rmsNormAgain(
      x.matrix, weight: w.matrix, inverseRMS: r.matrix, into: again.matrix, team: team)
    rmsNorm(
      inPlace.matrix, weight: w.matrix, epsilon: epsilon, into: inPlace.matrix,
      inverseRMS: r.matrix, team: team)
    return [y, again, inPlace, r]
  }
  let truth = normalised(x, w)
  expectClose(found[0].values, truth.y, tolerance: shape.tolerance)
  expectClose(found[3].values, truth.r, tolerance: shape.tolerance)
  #expect(found[1].bits == found[0].bits)
  #expect(found[2].bits == found[0].bits)
}

@Test(arguments: Shape.all)
func `RMS norm's gradient is its formula, adds where told, and works in place`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let w = Sample(random: 2, shape, rows: 1)
  let dy = Sample(random: 3, shape)
  let before = Sample(random: 4, shape)
  let beforeW = Sample(random: 5, shape, rows: 1)
  let found = results { team in
    let r = Sample.column(for: shape)
    let y = Sample(for: shape)
    rmsNorm(
      x.matrix, weight: w.matrix, epsilon: epsilon, into: y.matrix, inverseRMS: r.matrix,
      team: team)
    let dx = Sample(for: shape)
    let dw = Sample(for: shape, rows: 1)
    let dxAdded = before.copy
    let dwAdded = beforeW.copy
    let inPlace = dy.copy
    func gradient(_ dy: Sample, _ dx: Sample, _ dw: Sample?, accumulate: Bool) {
      rmsNormGradient(
        dy.matrix, x.matrix, weight: w.matrix, inverseRMS: r.matrix, into: dx.matrix,
        accumulate: accumulate, weightGradient: dw?.matrix, accumulateWeight: accumulate,
        team: team)
    }
    gradient(dy, dx, dw, accumulate: false)
    gradient(dy, dxAdded, dwAdded, accumulate: true)
    gradient(inPlace, inPlace, nil, accumulate: false)
    return [dx, dw, dxAdded, dwAdded, inPlace, r, y]
  }
  let r = normalised(x, w).r
  var dx: [Double] = []
  var dw = [Double](repeating: 0, count: shape.columns)
  for row in 0..<shape.rows {
    let columns = 0..<shape.columns
    let mean =
      columns.reduce(0) { $0 + w[0, $1] * dy[row, $1] * x[row, $1] } / Double(shape.columns)
    let cube = r[row] * r[row] * r[row]
    dx += columns.map { w[0, $0] * dy[row, $0] * r[row] - x[row, $0] * cube * mean }
    for column in columns { dw[column] += dy[row, column] * x[row, column] * r[row] }
  }
  expectClose(found[0].values, dx, tolerance: 2 * shape.tolerance)
  expectClose(found[1].values, dw, tolerance: 2 * shape.tolerance)
  expectClose(found[2].values, zip(dx, before.values).map(+), tolerance: 2 * shape.tolerance)
  expectClose(found[3].values, zip(dw, beforeW.values).map(+), tolerance: 2 * shape.tolerance)
  #expect(found[4].bits == found[0].bits)
}

@Test(arguments: Shape.differentiable)
func `RMS norm's gradients are its central differences`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let w = Sample(random: 2, shape, rows: 1)
  let dy = Sample(random: 3, shape)
  let dx = Sample(for: shape)
  let dw = Sample(for: shape, rows: 1)
  let r = Sample.column(for: shape)
  let team = ThreadTeam(size: 1)
  func forward() -> [Double] {
    let y = Sample(for: shape)
    rmsNorm(
      x.matrix, weight: w.matrix, epsilon: epsilon, into: y.matrix, inverseRMS: r.matrix,
      team: team)
    return y.values
  }
  _ = forward()
  rmsNormGradient(
    dy.matrix, x.matrix, weight: w.matrix, inverseRMS: r.matrix, into: dx.matrix,
    accumulate: false, weightGradient: dw.matrix, accumulateWeight: false, team: team)
  expectClose(
    dx.values, centralDifferences(of: x, weights: dy.values, forward),
    tolerance: differenceTolerance)
  expectClose(
    dw.values, centralDifferences(of: w, weights: dy.values, forward),
    tolerance: differenceTolerance)
  withExtendedLifetime(r) {}
}
