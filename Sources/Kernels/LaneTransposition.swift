// Square blocks of a matrix, as many rows as a vector has lanes, turned in registers: columns become
// vectors.

import CBLAS

/// Lanes that a square block of a matrix can be turned in. A quarter of a vector is 128 bits.
protocol TurningLanes: LaneVector {
  /// Hands out the columns of the block of `count` × `count` elements that starts at `source`, with
  /// rows `step` elements apart, in order.
  static func forEachColumn(
    _ source: UnsafePointer<Scalar>, _ step: Int, _ body: (_ column: Int, _ lanes: Self) -> Void)
}

extension DoubleLanes: TurningLanes {
  /// Quarters 0 and 2 of both.
  @inline(__always) private func evenQuarters(_ other: Self) -> Self {
    Self(raw: lane_even_quarters(raw, other.raw))
  }
  /// Quarters 1 and 3 of both.
  @inline(__always) private func oddQuarters(_ other: Self) -> Self {
    Self(raw: lane_odd_quarters(raw, other.raw))
  }

  @inline(__always)
  static func forEachColumn(
    _ source: UnsafePointer<Double>, _ step: Int, _ body: (_ column: Int, _ lanes: Self) -> Void
  ) {
    // Even rows, odd rows: quarter q of a vector gets row 2q (2q + 1).
    let (a, b) = (source, source + 4 &* step)
    let two = 2 &* step
    let (e0, e1) = (Self(a), Self(a + two))
    let (e2, e3) = (Self(b), Self(b + two))
    let (o0, o1) = (Self(a + step), Self(a + (two &+ step)))
    let (o2, o3) = (Self(b + step), Self(b + (two &+ step)))
    let (ee, ef) = (e0.evenQuarters(e1), e2.evenQuarters(e3))
    let (eo, ep) = (e0.oddQuarters(e1), e2.oddQuarters(e3))
    let (oe, of) = (o0.evenQuarters(o1), o2.evenQuarters(o3))
    let (oo, op) = (o0.oddQuarters(o1), o2.oddQuarters(o3))
    let (x0, y0) = (ee.evenQuarters(ef), oe.evenQuarters(of))
    let (x1, y1) = (eo.evenQuarters(ep), oo.evenQuarters(op))
    let (x2, y2) = (ee.oddQuarters(ef), oe.oddQuarters(of))
    let (x3, y3) = (eo.oddQuarters(ep), oo.oddQuarters(op))
    body(0, x0.zipLow(y0))
    body(1, x0.zipHigh(y0))
    body(2, x1.zipLow(y1))
    body(3, x1.zipHigh(y1))
    body(4, x2.zipLow(y2))
    body(5, x2.zipHigh(y2))
    body(6, x3.zipLow(y3))
    body(7, x3.zipHigh(y3))
  }

  @inline(__always) private func zipLow(_ other: Self) -> Self {
    Self(raw: lane_zip_low_double(raw, other.raw))
  }
  @inline(__always) private func zipHigh(_ other: Self) -> Self {
    Self(raw: lane_zip_high_double(raw, other.raw))
  }
}

extension FloatLanes: TurningLanes {
  /// Quarters 0 and 2 of both.
  @inline(__always) private func evenQuarters(_ other: Self) -> Self {
    Self(pairs: lane_even_quarters(pairs, other.pairs))
  }
  /// Quarters 1 and 3 of both.
  @inline(__always) private func oddQuarters(_ other: Self) -> Self {
    Self(pairs: lane_odd_quarters(pairs, other.pairs))
  }

  @inline(__always)
  static func forEachColumn(
    _ source: UnsafePointer<Float>, _ step: Int, _ body: (_ column: Int, _ lanes: Self) -> Void
  ) {
    // Rows i, i + 4, i + 8, i + 12 for i = 0 … 3: quarter q of a vector gets row 4q + i.
    let (a, b) = (source, source + 4 &* step)
    let (c, d) = (source + 8 &* step, source + 12 &* step)
    let two = 2 &* step
    let three = two &+ step
    let (a0, b0, c0, d0) = (Self(a), Self(b), Self(c), Self(d))
    let (a1, b1, c1, d1) = (Self(a + step), Self(b + step), Self(c + step), Self(d + step))
    let (a2, b2, c2, d2) = (Self(a + two), Self(b + two), Self(c + two), Self(d + two))
    let (a3, b3, c3, d3) = (Self(a + three), Self(b + three), Self(c + three), Self(d + three))
    let (e0, f0) = (a0.evenQuarters(b0), c0.evenQuarters(d0))
    let (e1, f1) = (a1.evenQuarters(b1), c1.evenQuarters(d1))
    let (e2, f2) = (a2.evenQuarters(b2), c2.evenQuarters(d2))
    let (e3, f3) = (a3.evenQuarters(b3), c3.evenQuarters(d3))
    let (o0, p0) = (a0.oddQuarters(b0), c0.oddQuarters(d0))
    let (o1, p1) = (a1.oddQuarters(b1), c1.oddQuarters(d1))
    let (o2, p2) = (a2.oddQuarters(b2), c2.oddQuarters(d2))
    let (o3, p3) = (a3.oddQuarters(b3), c3.oddQuarters(d3))
    fourColumns(
      0, e0.evenQuarters(f0), e1.evenQuarters(f1), e2.evenQuarters(f2), e3.evenQuarters(f3), body)
    fourColumns(
      4, o0.evenQuarters(p0), o1.evenQuarters(p1), o2.evenQuarters(p2), o3.evenQuarters(p3), body)
    fourColumns(
      8, e0.oddQuarters(f0), e1.oddQuarters(f1), e2.oddQuarters(f2), e3.oddQuarters(f3), body)
    fourColumns(
      12, o0.oddQuarters(p0), o1.oddQuarters(p1), o2.oddQuarters(p2), o3.oddQuarters(p3), body)
  }

  /// Blocks of 4 × 4 within each quarter.
  @inline(__always)
  private static func fourColumns(
    _ first: Int, _ r0: Self, _ r1: Self, _ r2: Self, _ r3: Self,
    _ body: (_ column: Int, _ lanes: Self) -> Void
  ) {
    let (low, high) = (r0.zipLow(r1), r2.zipLow(r3))
    body(first, low.zipLowPairs(high))
    body(first &+ 1, low.zipHighPairs(high))
    let (nextLow, nextHigh) = (r0.zipHigh(r1), r2.zipHigh(r3))
    body(first &+ 2, nextLow.zipLowPairs(nextHigh))
    body(first &+ 3, nextLow.zipHighPairs(nextHigh))
  }

  @inline(__always) private var pairs: SIMD8<Double> { unsafeBitCast(raw, to: SIMD8<Double>.self) }
  @inline(__always) private init(pairs: SIMD8<Double>) {
    raw = unsafeBitCast(pairs, to: Raw.self)
  }
  @inline(__always) private func zipLow(_ other: Self) -> Self {
    Self(raw: lane_zip_low_float(raw, other.raw))
  }
  @inline(__always) private func zipHigh(_ other: Self) -> Self {
    Self(raw: lane_zip_high_float(raw, other.raw))
  }
  @inline(__always) private func zipLowPairs(_ other: Self) -> Self {
    Self(pairs: lane_zip_low_double(pairs, other.pairs))
  }
  @inline(__always) private func zipHighPairs(_ other: Self) -> Self {
    Self(pairs: lane_zip_high_double(pairs, other.pairs))
  }
}

/// target[columns, rows] = source[rows, columns]ᵀ.
@inline(__always)
func transpose<Scalar: KernelScalar>(
  _ source: Pointer<Scalar>, _ sourceStep: Int, rows: Int, columns: Int,
  into target: Pointer<Scalar>, _ targetStep: Int
) {
  let lanes = Scalar.laneCount
  let wholeRows = rows & ~(lanes &- 1)
  let wholeColumns = columns & ~(lanes &- 1)
  var row = 0
  while row < wholeRows {
    var column = 0
    while column < wholeColumns {
      let to = target + (column &* targetStep &+ row)
      Scalar.Lanes.forEachColumn(source + (row &* sourceStep &+ column), sourceStep) { k, column in
        column.store(to: to + k &* targetStep)
      }
      column &+= lanes
    }
    row &+= lanes
  }
  if wholeColumns < columns {
    transposeEdge(
      source + wholeColumns, sourceStep, wholeRows, columns &- wholeColumns,
      target + wholeColumns &* targetStep, targetStep)
  }
  if wholeRows < rows {
    transposeEdge(
      source + wholeRows &* sourceStep, sourceStep, rows &- wholeRows, columns, target + wholeRows,
      targetStep)
  }
}

/// What is left beside whole blocks.
@inline(__always)
private func transposeEdge<Scalar: KernelScalar>(
  _ source: Pointer<Scalar>, _ sourceStep: Int, _ rows: Int, _ columns: Int,
  _ target: Pointer<Scalar>, _ targetStep: Int
) {
  if MemoryLayout<Scalar>.size == 4 {
    transpose4(
      UnsafeRawPointer(source).assumingMemoryBound(to: UInt32.self), sourceStep, rows, columns,
      UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt32.self), targetStep)
  } else {
    transpose4(
      UnsafeRawPointer(source).assumingMemoryBound(to: UInt64.self), sourceStep, rows, columns,
      UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt64.self), targetStep)
  }
}

/// Blocks of 4 × 4 in registers, single elements at the edges.
@inline(__always)
private func transpose4<Word: SIMDScalar & FixedWidthInteger>(
  _ source: UnsafePointer<Word>, _ sourceStep: Int, _ rows: Int, _ columns: Int,
  _ target: UnsafeMutablePointer<Word>, _ targetStep: Int
) {
  typealias Four = SIMD4<Word>
  @inline(__always)
  func load(_ pointer: UnsafePointer<Word>) -> Four {
    UnsafeRawPointer(pointer).loadUnaligned(as: Four.self)
  }
  @inline(__always)
  func store(_ four: Four, _ pointer: UnsafeMutablePointer<Word>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: four, as: Four.self)
  }
  let wholeRows = rows & ~3
  let wholeColumns = columns & ~3
  var row = 0
  while row < wholeRows {
    var column = 0
    while column < wholeColumns {
      let from = source + (row &* sourceStep &+ column)
      let a = load(from)
      let b = load(from + sourceStep)
      let c = load(from + 2 &* sourceStep)
      let d = load(from + 3 &* sourceStep)
      let to = target + (column &* targetStep &+ row)
      store(Four(a.x, b.x, c.x, d.x), to)
      store(Four(a.y, b.y, c.y, d.y), to + targetStep)
      store(Four(a.z, b.z, c.z, d.z), to + 2 &* targetStep)
      store(Four(a.w, b.w, c.w, d.w), to + 3 &* targetStep)
      column &+= 4
    }
    row &+= 4
  }
  for row in 0..<rows {
    for column in (row < wholeRows ? wholeColumns : 0)..<columns {
      target[column &* targetStep &+ row] = source[row &* sourceStep &+ column]
    }
  }
}
