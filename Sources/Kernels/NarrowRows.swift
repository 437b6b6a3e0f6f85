// Rows that are shorter than a register, as a router's: a register's worth of them at a time, turned, so
// that each column is a vector and no sum runs across lanes.

/// Hands out `rows` of x in turn, a register's worth of them at a time: element (r, c) of those stands at
/// columns[c · lanes + r]. What stands behind the last row has no meaning.
@inline(__always)
func forNarrowRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ rows: Range<Int>,
  _ body: (_ rows: Range<Int>, _ columns: Pointer<Scalar>) -> Void
) {
  let lanes = Scalar.laneCount
  withUnsafeTemporaryAllocation(
    byteCount: x.columns * lanes * MemoryLayout<Scalar>.stride, alignment: 64
  ) { memory in
    let columns = memory.baseAddress!.assumingMemoryBound(to: Scalar.self)
    columns.update(repeating: 0, count: x.columns * lanes)
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: lanes) {
      let end = min(first + lanes, rows.upperBound)
      transpose(
        x.row(type, first), x.stride, rows: end - first, columns: x.columns, into: columns, lanes)
      body(first..<end, columns)
    }
  }
}

/// The largest of each row, from columns as `forNarrowRows` gives them.
@inline(__always)
private func largestOfRows<Scalar: KernelScalar>(
  _ columns: Pointer<Scalar>, _ count: Int
) -> Scalar.Lanes {
  var top = Scalar.Lanes(columns)
  for column in 1..<count { top = top.larger(Scalar.Lanes(columns + column * Scalar.laneCount)) }
  return top
}

/// max + ln Σ exp(x − max) of each row; −∞ if all its entries are. There are columns, and no more than
/// lanes.
@inline(__always)
func logSumExpNarrowRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ rows: Range<Int>, into result: Pointer<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  forNarrowRows(type, x, rows) { rows, columns in
    let top = largestOfRows(columns, x.columns)
    var total = Lanes.zero
    for column in 0..<x.columns {
      total = total + (Lanes(columns + column * Lanes.count) - top).exponential()
    }
    let bottom = Lanes(-.infinity)
    let sum = top + total.kept(where: top, exceeds: bottom, else: Lanes(1)).logarithm()
    (result + rows.lowerBound).set(
      0, rows.count, sum.kept(where: top, exceeds: bottom, else: top + Lanes(columns)))
  }
}

/// exp(x − max) / Σ exp(x − max) of each row, which has no more columns than there are lanes; `y` may be
/// `x`.
@inline(__always)
func softmaxNarrowRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ rows: Range<Int>, into y: Matrix
) {
  typealias Lanes = Scalar.Lanes
  forNarrowRows(type, x, rows) { rows, columns in
    let top = largestOfRows(columns, x.columns)
    var total = Lanes.zero
    for column in 0..<x.columns {
      let place = columns + column * Lanes.count
      let e = (Lanes(place) - top).exponential()
      total = total + e
      e.store(to: place)
    }
    let factor = Lanes(1) / total
    for column in 0..<x.columns {
      let place = columns + column * Lanes.count
      (Lanes(place) * factor).store(to: place)
    }
    transpose(
      columns, Lanes.count, rows: x.columns, columns: rows.count,
      into: y.row(type, rows.lowerBound), y.stride)
  }
}
