// Matrix products: OpenBLAS on tiles of the output, and an own product whose rows do not know of
// each other.
//
// OpenBLAS rounds differently with how a product is cut, so tiles follow from the shape alone.

import CBLAS

/// Which factor of a product is read transposed.
public enum Transposition: Sendable {
  /// a[M, K] · b[K, N]
  case none
  /// a[K, M]ᵀ · b[K, N]
  case left
  /// a[M, K] · b[N, K]ᵀ
  case right
}

/// c[M, N] = scale · op(a) · op(b), added to c if `accumulate`.
///
/// Not for a router: the bits of a row depend on how many rows there are (`rowStableProduct`).
public func product(
  _ a: Matrix, _ b: Matrix, into c: Matrix, transposed: Transposition = .none, scale: Double = 1,
  accumulate: Bool = false, team: ThreadTeam
) {
  let tiling = ProductTiling(c.rows, c.columns, depth: transposed == .left ? a.rows : a.columns)
  requireProduct(a, b, c, transposed)
  team.run(tiling.count) { task, _ in
    multiply(a, b, into: c, tiling[task], transposed, scale: scale, accumulate: accumulate)
  }
}

/// A rectangle of an output.
struct ProductArea {
  let rows, columns: Range<Int>
}

/// The cut of an output into areas of nearly equal size, by shape alone.
struct ProductTiling {
  private let rows, columns: Int
  private let rowCuts, columnCuts: Int

  /// Below about 32 million multiplications (0.3 ms of one core) a product stays whole; above, an
  /// area keeps at least half as many: OpenBLAS copies both factors of every area once more, which
  /// took a fifth of the time with areas of 2 million.
  init(_ rows: Int, _ columns: Int, depth: Int) {
    self.rows = rows
    self.columns = columns
    let work = rows * columns * depth
    var rowCuts = 1
    var columnCuts = 1
    while work / (rowCuts * columnCuts) >= 32 << 20 && rowCuts * columnCuts < 16 {
      let height = rows / rowCuts
      let width = columns / columnCuts
      if height >= width && height >= 192 {
        rowCuts *= 2
      } else if width >= 192 {
        columnCuts *= 2
      } else {
        break
      }
    }
    self.rowCuts = rowCuts
    self.columnCuts = columnCuts
  }

  var count: Int { rows > 0 && columns > 0 ? rowCuts * columnCuts : 0 }

  subscript(task: Int) -> ProductArea {
    ProductArea(
      rows: cut(rows, into: rowCuts, task / columnCuts),
      columns: cut(columns, into: columnCuts, task % columnCuts))
  }

  /// Part `part` of 0 ..< length, with edges at multiples of 16: OpenBLAS's own tiles are so wide.
  private func cut(_ length: Int, into parts: Int, _ part: Int) -> Range<Int> {
    func edge(_ part: Int) -> Int {
      part == parts ? length : length * part / parts / 16 * 16
    }
    return edge(part)..<edge(part + 1)
  }
}

/// One area of c = scale · op(a) · op(b) (+ c), on the calling thread.
func multiply(
  _ a: Matrix, _ b: Matrix, into c: Matrix, _ area: ProductArea, _ transposed: Transposition,
  scale: Double = 1, accumulate: Bool
) {
  let depth = transposed == .left ? a.rows : a.columns
  let bytes = c.precision.bytes
  let m = area.rows.count
  let n = area.columns.count
  guard m > 0 && n > 0 else { return }
  let a0 = a.base + area.rows.lowerBound * (transposed == .left ? 1 : a.stride) * bytes
  let b0 = b.base + area.columns.lowerBound * (transposed == .right ? b.stride : 1) * bytes
  let c0 = c.base + (area.rows.lowerBound * c.stride + area.columns.lowerBound) * bytes
  let left = transposed == .left ? CblasTrans : CblasNoTrans
  let right = transposed == .right ? CblasTrans : CblasNoTrans
  // OpenBLAS wants strides of at least 1 even where nothing is read.
  let (lda, ldb, ldc) = (Int32(max(a.stride, 1)), Int32(max(b.stride, 1)), Int32(c.stride))
  switch c.precision {
  case .float32:
    cblas_sgemm(
      CblasRowMajor, left, right, Int32(m), Int32(n), Int32(depth), Float(scale),
      a0.assumingMemoryBound(to: Float.self), lda, b0.assumingMemoryBound(to: Float.self), ldb,
      accumulate ? 1 : 0, c0.assumingMemoryBound(to: Float.self), ldc)
  case .float64:
    cblas_dgemm(
      CblasRowMajor, left, right, Int32(m), Int32(n), Int32(depth), scale,
      a0.assumingMemoryBound(to: Double.self), lda, b0.assumingMemoryBound(to: Double.self), ldb,
      accumulate ? 1 : 0, c0.assumingMemoryBound(to: Double.self), ldc)
  }
}

/// Traps unless the three shapes fit.
func requireProduct(_ a: Matrix, _ b: Matrix, _ c: Matrix, _ transposed: Transposition) {
  let (m, k) = transposed == .left ? (a.columns, a.rows) : (a.rows, a.columns)
  let (n, l) = transposed == .right ? (b.rows, b.columns) : (b.columns, b.rows)
  require(
    k == l && m == c.rows && n == c.columns && a.precision == b.precision
      && a.precision == c.precision,
    "\(a.rows) × \(a.columns) \(a.precision) times \(b.rows) × \(b.columns) \(b.precision), "
      + "transposed \(transposed), into \(c.rows) × \(c.columns) \(c.precision)")
}
