// Movement of rows against plain loops in Double.

import Kernels
import Testing

@Test(arguments: Shape.all)
func `gathered rows are copies, and zeros for a negative index`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let rows = (0..<shape.rows * 2).map { $0 % 5 == 4 ? -1 : Int32(($0 * 7) % shape.rows) }
  let found = results { team in
    let y = Sample(for: shape, rows: rows.count)
    gatherRows(x.matrix, rows, into: y.matrix, team: team)
    return [y]
  }
  let truth = rows.flatMap { row in
    (0..<shape.columns).map { row < 0 ? 0 : x[Int(row), $0] }
  }
  #expect(found[0].values == truth)
}

@Test(arguments: Shape.all)
func `combined rows are weighted sums of the listed rows`(_ shape: Shape) {
  // Row t has t mod 4 terms; with as many rows of z as of y.
  var starts: [Int32] = [0]
  for row in 0..<shape.rows { starts.append(starts[row] + Int32(row % 4)) }
  let positions = (0..<Int(starts.last!)).map { Int32(($0 * 11) % max(shape.rows, 1)) }
  let z = Sample(random: 1, shape)
  let before = Sample(random: 2, shape)
  let w = Sample.column(
    random: 3,
    Shape(
      rows: positions.count, columns: 1, gap: 0, precision: shape.precision))
  let found = results { team in
    let plain = Sample(for: shape)
    combineRows(
      z.matrix, starts: starts, positions: positions, into: plain.matrix, accumulate: false,
      team: team)
    let added = before.copy
    combineRows(
      z.matrix, starts: starts, positions: positions, weights: w.matrix, into: added.matrix,
      accumulate: true, team: team)
    return [plain, added]
  }
  var plain: [Double] = []
  var weighted: [Double] = []
  for row in 0..<shape.rows {
    let terms = Int(starts[row])..<Int(starts[row + 1])
    for column in 0..<shape.columns {
      plain.append(terms.reduce(0) { $0 + z[Int(positions[$1]), column] })
      weighted.append(terms.reduce(0) { $0 + w[$1, 0] * z[Int(positions[$1]), column] })
    }
  }
  expectClose(found[0].values, plain, tolerance: shape.tolerance)
  expectClose(found[1].values, zip(weighted, before.values).map(+), tolerance: shape.tolerance)
}

@Test(arguments: Shape.all)
func `scattered rows are added where they belong, untouched rows are zero or kept`(
  _ shape: Shape
) {
  let dy = Sample(random: 1, shape)
  let rows = (0..<shape.rows).map { $0 % 7 == 6 ? -1 : Int32(($0 * $0) % 40) }
  let before = Sample(random: 2, shape, rows: 41)
  let found = results { team in
    let fresh = Sample(for: shape, rows: 41)
    let added = before.copy
    scatterAddRows(dy.matrix, rows, into: fresh.matrix, accumulate: false, team: team)
    scatterAddRows(dy.matrix, rows, into: added.matrix, accumulate: true, team: team)
    return [fresh, added]
  }
  var truth = [Double](repeating: 0, count: 41 * shape.columns)
  for (j, row) in rows.enumerated() where row >= 0 {
    for column in 0..<shape.columns { truth[Int(row) * shape.columns + column] += dy[j, column] }
  }
  expectClose(found[0].values, truth, tolerance: shape.tolerance)
  expectClose(found[1].values, zip(truth, before.values).map(+), tolerance: shape.tolerance)
  #expect(found[0].values.suffix(shape.columns).allSatisfy { $0 == 0 })
  #expect(found[1].bits.suffix(shape.columns) == before.bits.suffix(shape.columns))
}

@Test(arguments: Shape.all)
func `dots, scalings and biases of rows are their formulas`(_ shape: Shape) {
  let a = Sample(random: 1, shape)
  let b = Sample(random: 2, shape)
  let w = Sample.column(random: 3, shape)
  let row = Sample(random: 4, shape, rows: 1)
  let before = Sample.column(random: 5, shape)
  let found = results { team in
    let dots = Sample.column(for: shape)
    let dotsAdded = before.copy
    rowDots(a.matrix, b.matrix, into: dots.matrix, accumulate: false, team: team)
    rowDots(a.matrix, b.matrix, into: dotsAdded.matrix, accumulate: true, team: team)
    let scaled = Sample(for: shape)
    let scaledAdded = b.copy
    let scaledInPlace = a.copy
    scaleRows(a.matrix, by: w.matrix, into: scaled.matrix, accumulate: false, team: team)
    scaleRows(a.matrix, by: w.matrix, into: scaledAdded.matrix, accumulate: true, team: team)
    scaleRows(
      scaledInPlace.matrix, by: w.matrix, into: scaledInPlace.matrix, accumulate: false,
      team: team)
    let biased = Sample(for: shape)
    addToRows(a.matrix, row.matrix, into: biased.matrix, team: team)
    return [dots, dotsAdded, scaled, scaledAdded, scaledInPlace, biased]
  }
  let columns = 0..<shape.columns
  let rows = 0..<shape.rows
  let dots = rows.map { row in columns.reduce(0) { $0 + a[row, $1] * b[row, $1] } }
  let scaled = rows.flatMap { row in columns.map { a[row, $0] * w[row, 0] } }
  let biased = rows.flatMap { r in columns.map { a[r, $0] + row[0, $0] } }
  expectClose(found[0].values, dots, tolerance: 4 * shape.tolerance)
  expectClose(found[1].values, zip(dots, before.values).map(+), tolerance: 4 * shape.tolerance)
  expectClose(found[2].values, scaled, tolerance: shape.tolerance)
  expectClose(found[3].values, zip(scaled, b.values).map(+), tolerance: shape.tolerance)
  #expect(found[4].bits == found[2].bits)
  expectClose(found[5].values, biased, tolerance: shape.tolerance)
}
