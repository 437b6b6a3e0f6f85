// Products of few rows with many weights, as of decoding: weights are turned in registers on their
// way into the sums, so that each is fetched from memory once and none is packed.
//
// An element is the same sum in the same order as in ProductPanels.swift: bits do not depend on how
// many rows there are.

import CBLAS

/// Rows up to which turning weights for every eight rows anew is faster than packing them once; where
/// they are turned already (TurnedWeights.swift) there is no limit.
let fewRows = 32

/// One area of c = a · bᵀ (+ c).
struct FewRowProduct<Scalar: KernelScalar> {
  let a, b, c: Matrix
  let area: ProductArea
  let accumulate: Bool

  private typealias Lanes = Scalar.Lanes
  private var lanes: Int { Scalar.laneCount }

  /// Columns of c that one vector holds, or what is left of them, over a block of the depth.
  private struct Strip {
    let column, columns: Int
    let block: Range<Int>
    /// Whether the weights that follow are asked for meanwhile.
    let prefetches: Bool
    /// Room for a turned block of weights at the edges.
    let tile: Pointer<Scalar>
  }

  /// On the calling thread; `scratch` has room for a vector's square of elements.
  @inline(__always)
  func run(_ scratch: UnsafeMutableRawPointer) {
    let tile = scratch.assumingMemoryBound(to: Scalar.self)
    // What turns no whole vector of columns leaves lanes of the tile as they are.
    if area.columns.count % lanes != 0 { tile.update(repeating: 0, count: lanes * lanes) }
    if a.columns == 0 && !accumulate { clear() }
    let end = area.columns.upperBound
    var column = area.columns.lowerBound
    if area.rows.count == 1 && b.turned != nil {
      while column + 4 * lanes <= end {
        oneRowOfTurned(column)
        column += 4 * lanes
      }
    }
    while column < end {
      let isPair = area.rows.count <= 4 && column + 2 * lanes <= end
      var first = 0
      while first < a.columns {
        let block = first..<min(first + panelDepth, a.columns)
        if isPair {
          let strip = Strip(
            column: column, columns: lanes, block: block, prefetches: true, tile: tile)
          if area.rows.count == 1 { oneRow(strip) } else { fourRows(strip) }
        } else {
          eightRowsEach(column, block, tile)
        }
        first += panelDepth
      }
      column += isPair ? 2 * lanes : lanes
    }
  }

  /// One vector of columns for all rows, eight at a time.
  @inline(__always)
  private func eightRowsEach(_ column: Int, _ block: Range<Int>, _ tile: Pointer<Scalar>) {
    var done = area.rows.lowerBound
    while done < area.rows.upperBound {
      eightRows(
        Strip(
          column: column, columns: min(lanes, area.columns.upperBound - column), block: block,
          prefetches: done == area.rows.lowerBound, tile: tile), from: done)
      done += 8
    }
  }

  /// Up to eight rows as two times four, which overlap where there are fewer: the same row twice
  /// gives the same sums twice, of which one is stored.
  @inline(__always)
  private func eightRows(_ strip: Strip, from row: Int) {
    let end = min(row + 8, area.rows.upperBound)
    guard end - area.rows.lowerBound >= 4 else { return threeRows(strip, row..<end) }
    let lowRow = min(row, end - 4)
    let highRow = end - 4
    var (s0, s1, s2, s3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
    var (t0, t1, t2, t3) = (s0, s0, s0, s0)
    let step = a.stride
    let low = a.row(Scalar.self, lowRow) + strip.block.lowerBound
    let high = a.row(Scalar.self, highRow) + strip.block.lowerBound
    forEachColumn(strip) { k, weights in
      let x = low + k
      let y = high + k
      s0 = s0.adding(Lanes(x[0]), times: weights)
      s1 = s1.adding(Lanes(x[step]), times: weights)
      s2 = s2.adding(Lanes(x[2 &* step]), times: weights)
      s3 = s3.adding(Lanes(x[3 &* step]), times: weights)
      t0 = t0.adding(Lanes(y[0]), times: weights)
      t1 = t1.adding(Lanes(y[step]), times: weights)
      t2 = t2.adding(Lanes(y[2 &* step]), times: weights)
      t3 = t3.adding(Lanes(y[3 &* step]), times: weights)
    }
    put(s0, lowRow, from: row, strip)
    put(s1, lowRow + 1, from: row, strip)
    put(s2, lowRow + 2, from: row, strip)
    put(s3, lowRow + 3, from: row, strip)
    let next = max(row, lowRow + 4)
    put(t0, highRow, from: next, strip)
    put(t1, highRow + 1, from: next, strip)
    put(t2, highRow + 2, from: next, strip)
    put(t3, highRow + 3, from: next, strip)
  }

  /// Where there are no four rows to take, nor two whole vectors of columns.
  @inline(__always)
  private func threeRows(_ strip: Strip, _ rows: Range<Int>) {
    var (s0, s1, s2) = (Lanes.zero, Lanes.zero, Lanes.zero)
    let last = rows.upperBound - 1
    let x0 = a.row(Scalar.self, rows.lowerBound) + strip.block.lowerBound
    let x1 = a.row(Scalar.self, min(rows.lowerBound + 1, last)) + strip.block.lowerBound
    let x2 = a.row(Scalar.self, last) + strip.block.lowerBound
    forEachColumn(strip) { k, weights in
      s0 = s0.adding(Lanes(x0[k]), times: weights)
      s1 = s1.adding(Lanes(x1[k]), times: weights)
      s2 = s2.adding(Lanes(x2[k]), times: weights)
    }
    put(s0, rows.lowerBound, from: rows.lowerBound, strip)
    if rows.count > 2 { put(s1, rows.lowerBound + 1, from: rows.lowerBound, strip) }
    if rows.count > 1 { put(s2, last, from: rows.lowerBound, strip) }
  }

  /// Two to four rows, as two times two, for two whole vectors of columns.
  @inline(__always)
  private func fourRows(_ strip: Strip) {
    let rows = area.rows
    let highRow = rows.upperBound - 2
    var (s0, s1, s2, s3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
    var (t0, t1, t2, t3) = (s0, s0, s0, s0)
    let step = a.stride
    let low = a.row(Scalar.self, rows.lowerBound) + strip.block.lowerBound
    let high = a.row(Scalar.self, highRow) + strip.block.lowerBound
    forEachColumnOfTwo(strip) { k, weights in
      s0 = s0.adding(Lanes(low[k]), times: weights)
      s1 = s1.adding(Lanes(low[k &+ step]), times: weights)
      s2 = s2.adding(Lanes(high[k]), times: weights)
      s3 = s3.adding(Lanes(high[k &+ step]), times: weights)
    } second: { k, weights in
      t0 = t0.adding(Lanes(low[k]), times: weights)
      t1 = t1.adding(Lanes(low[k &+ step]), times: weights)
      t2 = t2.adding(Lanes(high[k]), times: weights)
      t3 = t3.adding(Lanes(high[k &+ step]), times: weights)
    }
    let next = next(strip)
    put(s0, rows.lowerBound, from: rows.lowerBound, strip)
    put(t0, rows.lowerBound, from: rows.lowerBound, next)
    put(s1, rows.lowerBound + 1, from: rows.lowerBound, strip)
    put(t1, rows.lowerBound + 1, from: rows.lowerBound, next)
    put(s2, highRow, from: rows.lowerBound + 2, strip)
    put(t2, highRow, from: rows.lowerBound + 2, next)
    put(s3, highRow + 1, from: rows.lowerBound + 2, strip)
    put(t3, highRow + 1, from: rows.lowerBound + 2, next)
  }

  /// One row, for two whole vectors of columns.
  @inline(__always)
  private func oneRow(_ strip: Strip) {
    let row = area.rows.lowerBound
    var (s, t) = (Lanes.zero, Lanes.zero)
    let x = a.row(Scalar.self, row) + strip.block.lowerBound
    forEachColumnOfTwo(strip) { k, weights in
      s = s.adding(Lanes(x[k]), times: weights)
    } second: { k, weights in
      t = t.adding(Lanes(x[k]), times: weights)
    }
    put(s, row, from: row, strip)
    put(t, row, from: row, next(strip))
  }

  private func next(_ strip: Strip) -> Strip {
    Strip(
      column: strip.column + lanes, columns: lanes, block: strip.block, prefetches: false,
      tile: strip.tile)
  }

  /// Calls `body(k, b[strip's columns, k of the block])` for each k in order.
  @inline(__always)
  private func forEachColumn(_ strip: Strip, _ body: (_ k: Int, _ weights: Scalar.Lanes) -> Void) {
    if b.turned != nil {
      var weights = turned(strip.column, strip.columns, strip.block.lowerBound)
      for k in 0..<strip.block.count {
        if strip.prefetches { prefetch_line(weights + streamAhead) }
        body(k, Lanes(weights))
        weights += strip.columns
      }
      return
    }
    let weights = b.row(Scalar.self, strip.column) + strip.block.lowerBound
    let ahead = weightsBehind(strip, vectors: 1)
    let whole = strip.columns == lanes ? strip.block.count & ~(lanes &- 1) : 0
    var k = 0
    while k < whole {
      if strip.prefetches { prefetch(ahead + k &* lanes, lines: lanes) }
      Lanes.forEachColumn(weights + k, b.stride) { i, lanes in body(k &+ i, lanes) }
      k &+= lanes
    }
    edge(weights, strip, from: whole, body)
  }

  /// The same for this vector of columns and the one behind it, a few k of either in turn.
  @inline(__always)
  private func forEachColumnOfTwo(
    _ strip: Strip, _ first: (_ k: Int, _ weights: Scalar.Lanes) -> Void,
    second: (_ k: Int, _ weights: Scalar.Lanes) -> Void
  ) {
    if b.turned != nil {
      var weights = turned(strip.column, lanes, strip.block.lowerBound)
      var others = turned(strip.column &+ lanes, lanes, strip.block.lowerBound)
      for k in 0..<strip.block.count {
        prefetch_line(weights + streamAhead / 2)
        prefetch_line(others + streamAhead / 2)
        first(k, Lanes(weights))
        second(k, Lanes(others))
        weights += lanes
        others += lanes
      }
      return
    }
    let weights = b.row(Scalar.self, strip.column) + strip.block.lowerBound
    let others = b.row(Scalar.self, strip.column + lanes) + strip.block.lowerBound
    let ahead = weightsBehind(strip, vectors: 2)
    let whole = strip.block.count & ~(lanes &- 1)
    var k = 0
    while k < whole {
      prefetch(ahead + 2 &* k &* lanes, lines: 2 &* lanes)
      Lanes.forEachColumn(weights + k, b.stride) { i, lanes in first(k &+ i, lanes) }
      Lanes.forEachColumn(others + k, b.stride) { i, lanes in second(k &+ i, lanes) }
      k &+= lanes
    }
    edge(weights, strip, from: whole, first)
    edge(others, strip, from: whole, second)
  }

  /// What is no whole block of weights.
  @inline(__always)
  private func edge(
    _ weights: Pointer<Scalar>, _ strip: Strip, from first: Int,
    _ body: (_ k: Int, _ weights: Scalar.Lanes) -> Void
  ) {
    var k = first
    while k < strip.block.count {
      let count = min(lanes, strip.block.count - k)
      transpose(
        weights + k, b.stride, rows: strip.columns, columns: count, into: strip.tile, lanes)
      for i in 0..<count { body(k &+ i, Lanes(strip.tile + i &* lanes)) }
      k += count
    }
  }

  /// Where the weights lie that are read after this strip's: they follow each other.
  @inline(__always)
  private func weightsBehind(_ strip: Strip, vectors: Int) -> Pointer<Scalar> {
    b.row(Scalar.self, strip.column)
      + vectors &* lanes &* (b.stride &+ strip.block.lowerBound)
  }

  @inline(__always)
  private func prefetch(_ start: Pointer<Scalar>, lines: Int) {
    let start = UnsafeRawPointer(start)
    for line in 0..<lines { prefetch_line(start + line &* 64) }
  }

  /// Stores a row's sums unless the row stands before `first`.
  @inline(__always)
  private func put(_ sums: Scalar.Lanes, _ row: Int, from first: Int, _ strip: Strip) {
    guard row >= first else { return }
    let target = c.row(Scalar.self, row) + strip.column
    let adds = accumulate || strip.block.lowerBound > 0
    target.set(0, strip.columns, adds ? target.lanes(0, strip.columns) + sums : sums)
  }

  private func clear() {
    for row in area.rows {
      (c.row(Scalar.self, row) + area.columns.lowerBound).update(
        repeating: 0, count: area.columns.count)
    }
  }
}
