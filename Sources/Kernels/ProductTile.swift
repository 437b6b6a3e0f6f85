// The innermost loop of our own products: eight rows by one or two vectors of sums in registers.
//
// The left factor has whole eights of rows, the right one whole vectors of columns. Each sum is added
// in the order of depth, so its bits do not depend on what stands beside it.

/// Rows of a tile.
let tileRows = 8

/// Rows of a product's left factor as tiles read it: element (i, k) at base[i·rowStep + k·depthStep].
struct TileRows<Scalar: KernelScalar> {
  var base: Pointer<Scalar>
  var rowStep: Int
  var depthStep: Int
}

/// Row-major memory with whole vectors in each row.
struct TileColumns<Scalar: KernelScalar> {
  var base: Pointer<Scalar>
  var step: Int

  @inline(__always)
  subscript(row: Int, column: Int) -> Pointer<Scalar> { base + (row &* step &+ column) }
}

/// c[8, columns] = a[8, depth] · b[depth, columns], added to c if `accumulate`.
///
/// Columns are whole vectors.
@inline(__always)
func multiplyEightRows<Scalar: KernelScalar>(
  _ a: TileRows<Scalar>, _ b: TileColumns<Scalar>, into c: TileColumns<Scalar>, depth: Int,
  columns: Int, accumulate: Bool
) {
  let lanes = Scalar.laneCount
  var column = 0
  while column &+ 2 &* lanes <= columns {
    multiplyTile(
      a, b[0, column], b.step, into: c[0, column], c.step, depth: depth, accumulate: accumulate)
    column &+= 2 &* lanes
  }
  if column < columns {
    multiplyNarrowTile(
      a, b[0, column], b.step, into: c[0, column], c.step, depth: depth, accumulate: accumulate)
  }
}

/// Eight rows by two vectors: sixteen sums.
@inline(__always)
private func multiplyTile<Scalar: KernelScalar>(
  _ a: TileRows<Scalar>, _ b: Pointer<Scalar>, _ bStep: Int, into c: Pointer<Scalar>,
  _ cStep: Int, depth: Int, accumulate: Bool
) {
  typealias Lanes = Scalar.Lanes
  let lanes = Scalar.laneCount
  var (p0, p1, p2, p3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
  var (p4, p5, p6, p7) = (p0, p0, p0, p0)
  var (q0, q1, q2, q3, q4, q5, q6, q7) = (p0, p0, p0, p0, p0, p0, p0, p0)
  let step = a.rowStep
  var low = a.base
  var high = a.base + 4 &* step
  var right = b
  for _ in 0..<depth {
    let left = Lanes(right)
    let next = Lanes(right + lanes)
    let (a0, a1) = (Lanes(low[0]), Lanes(low[step]))
    let (a2, a3) = (Lanes(low[2 &* step]), Lanes(low[3 &* step]))
    let (a4, a5) = (Lanes(high[0]), Lanes(high[step]))
    let (a6, a7) = (Lanes(high[2 &* step]), Lanes(high[3 &* step]))
    p0 = p0.adding(a0, times: left)
    q0 = q0.adding(a0, times: next)
    p1 = p1.adding(a1, times: left)
    q1 = q1.adding(a1, times: next)
    p2 = p2.adding(a2, times: left)
    q2 = q2.adding(a2, times: next)
    p3 = p3.adding(a3, times: left)
    q3 = q3.adding(a3, times: next)
    p4 = p4.adding(a4, times: left)
    q4 = q4.adding(a4, times: next)
    p5 = p5.adding(a5, times: left)
    q5 = q5.adding(a5, times: next)
    p6 = p6.adding(a6, times: left)
    q6 = q6.adding(a6, times: next)
    p7 = p7.adding(a7, times: left)
    q7 = q7.adding(a7, times: next)
    low += a.depthStep
    high += a.depthStep
    right += bStep
  }
  put(p0, p1, p2, p3, into: c, cStep, accumulate)
  put(p4, p5, p6, p7, into: c + 4 &* cStep, cStep, accumulate)
  put(q0, q1, q2, q3, into: c + lanes, cStep, accumulate)
  put(q4, q5, q6, q7, into: c + (lanes &+ 4 &* cStep), cStep, accumulate)
}

/// c[16, one vector] = a[16, depth] · b[depth, one vector]: sixteen sums, which keep both multipliers of a
/// core busy where eight of one vector wait for each other.
@inline(__always)
func multiplySixteenRows<Scalar: KernelScalar>(
  _ a: TileRows<Scalar>, _ b: TileColumns<Scalar>, into c: TileColumns<Scalar>, depth: Int
) {
  typealias Lanes = Scalar.Lanes
  var (p0, p1, p2, p3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
  var (p4, p5, p6, p7) = (p0, p0, p0, p0)
  var (q0, q1, q2, q3, q4, q5, q6, q7) = (p0, p0, p0, p0, p0, p0, p0, p0)
  let step = a.rowStep
  var (r0, r1) = (a.base, a.base + 4 &* step)
  var (r2, r3) = (a.base + 8 &* step, a.base + 12 &* step)
  var right = b.base
  for _ in 0..<depth {
    let x = Lanes(right)
    p0 = p0.adding(Lanes(r0[0]), times: x)
    p1 = p1.adding(Lanes(r0[step]), times: x)
    p2 = p2.adding(Lanes(r0[2 &* step]), times: x)
    p3 = p3.adding(Lanes(r0[3 &* step]), times: x)
    p4 = p4.adding(Lanes(r1[0]), times: x)
    p5 = p5.adding(Lanes(r1[step]), times: x)
    p6 = p6.adding(Lanes(r1[2 &* step]), times: x)
    p7 = p7.adding(Lanes(r1[3 &* step]), times: x)
    q0 = q0.adding(Lanes(r2[0]), times: x)
    q1 = q1.adding(Lanes(r2[step]), times: x)
    q2 = q2.adding(Lanes(r2[2 &* step]), times: x)
    q3 = q3.adding(Lanes(r2[3 &* step]), times: x)
    q4 = q4.adding(Lanes(r3[0]), times: x)
    q5 = q5.adding(Lanes(r3[step]), times: x)
    q6 = q6.adding(Lanes(r3[2 &* step]), times: x)
    q7 = q7.adding(Lanes(r3[3 &* step]), times: x)
    r0 += a.depthStep
    r1 += a.depthStep
    r2 += a.depthStep
    r3 += a.depthStep
    right += b.step
  }
  put(p0, p1, p2, p3, into: c.base, c.step, false)
  put(p4, p5, p6, p7, into: c[4, 0], c.step, false)
  put(q0, q1, q2, q3, into: c[8, 0], c.step, false)
  put(q4, q5, q6, q7, into: c[12, 0], c.step, false)
}

/// Eight rows by one vector: eight sums.
@inline(__always)
private func multiplyNarrowTile<Scalar: KernelScalar>(
  _ a: TileRows<Scalar>, _ b: Pointer<Scalar>, _ bStep: Int, into c: Pointer<Scalar>,
  _ cStep: Int, depth: Int, accumulate: Bool
) {
  typealias Lanes = Scalar.Lanes
  var (p0, p1, p2, p3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
  var (p4, p5, p6, p7) = (p0, p0, p0, p0)
  let step = a.rowStep
  var low = a.base
  var high = a.base + 4 &* step
  var right = b
  for _ in 0..<depth {
    let left = Lanes(right)
    p0 = p0.adding(Lanes(low[0]), times: left)
    p1 = p1.adding(Lanes(low[step]), times: left)
    p2 = p2.adding(Lanes(low[2 &* step]), times: left)
    p3 = p3.adding(Lanes(low[3 &* step]), times: left)
    p4 = p4.adding(Lanes(high[0]), times: left)
    p5 = p5.adding(Lanes(high[step]), times: left)
    p6 = p6.adding(Lanes(high[2 &* step]), times: left)
    p7 = p7.adding(Lanes(high[3 &* step]), times: left)
    low += a.depthStep
    high += a.depthStep
    right += bStep
  }
  put(p0, p1, p2, p3, into: c, cStep, accumulate)
  put(p4, p5, p6, p7, into: c + 4 &* cStep, cStep, accumulate)
}

@inline(__always)
private func put<Lanes: LaneVector>(
  _ r0: Lanes, _ r1: Lanes, _ r2: Lanes, _ r3: Lanes, into c: Pointer<Lanes.Scalar>, _ step: Int,
  _ accumulate: Bool
) {
  if accumulate {
    (Lanes(c) + r0).store(to: c)
    (Lanes(c + step) + r1).store(to: c + step)
    (Lanes(c + 2 &* step) + r2).store(to: c + 2 &* step)
    (Lanes(c + 3 &* step) + r3).store(to: c + 3 &* step)
  } else {
    r0.store(to: c)
    r1.store(to: c + step)
    r2.store(to: c + 2 &* step)
    r3.store(to: c + 3 &* step)
  }
}
