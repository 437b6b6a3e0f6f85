// Matrix products in areas of the output: by our own panels where there are registers for them, else
// by OpenBLAS.
//
// OpenBLAS rounds differently with how a product is cut, so areas follow from the shape alone.

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
/// Not for a router: with OpenBLAS the bits of a row depend on how many rows there are
/// (`rowStableProduct`).
public func product(
  _ a: Matrix, _ b: Matrix, into c: Matrix, transposed: Transposition = .none, scale: Double = 1,
  accumulate: Bool = false, team: ThreadTeam
) {
  requireProduct(a, b, c, transposed)
  if transposed == .left {
    return transposedProduct(a, b, into: c, scale: scale, accumulate: accumulate, team: team)
  }
  let tiling = ProductTiling.output(c.rows, c.columns, depth: a.columns, transposed)
  team.run(tiling.count) { task, worker in
    multiply(
      a, b, into: c, tiling[task], transposed, scale: scale, accumulate: accumulate,
      memory: team.scratch(bytes: panelMemory(c.precision), worker: worker))
  }
}

/// c = a · bᵀ of each, their areas shared out together: no product waits for another.
public func products(_ factors: [(a: Matrix, b: Matrix, c: Matrix)], team: ThreadTeam) {
  var areas: [(factors: Int, area: ProductArea)] = []
  for (index, (a, b, c)) in factors.enumerated() {
    requireProduct(a, b, c, .right)
    let tiling = ProductTiling.output(c.rows, c.columns, depth: a.columns, .right)
    for task in 0..<tiling.count { areas.append((index, tiling[task])) }
  }
  team.run(areas.count) { task, worker in
    let (a, b, c) = factors[areas[task].factors]
    multiply(
      a, b, into: c, areas[task].area, .right, accumulate: false,
      memory: team.scratch(bytes: panelMemory(c.precision), worker: worker))
  }
}

/// c = scale · aᵀ · b (+ c): long sums into a small output, as of a weight gradient, are cut along
/// their depth too, and the parts added in order.
private func transposedProduct(
  _ a: Matrix, _ b: Matrix, into c: Matrix, scale: Double, accumulate: Bool, team: ThreadTeam
) {
  let depth = a.rows
  let worthwhile = min(depth / 512, c.count * depth / 4_000_000, 8)
  let parts = c.count <= 512 * 512 ? max(worthwhile, 1) : 1
  let tiling = ProductTiling(c.rows, c.columns, depth: depth / parts, least: 512, parts: parts)
  // The first part goes into c, the others beside the caller's memory for packing.
  let packing = panelMemory(c.precision, packedRows: tiling.tallest, depth: depth)
  let memory = team.scratch(
    bytes: packing + (parts - 1) * c.count * c.precision.bytes, worker: 0)
  func part(_ index: Int) -> Matrix {
    guard index > 0 else { return c }
    let start = memory + packing + (index - 1) * c.count * c.precision.bytes
    return Matrix(start, rows: c.rows, columns: c.columns, precision: c.precision)
  }
  team.run(tiling.count * parts) { task, worker in
    let index = task % parts
    let first = depth * index / parts
    let count = depth * (index + 1) / parts - first
    multiply(
      a.rows(first, count: count), b.rows(first, count: count), into: part(index),
      tiling[task / parts], .left, scale: scale, accumulate: accumulate && index == 0,
      memory: worker == 0 ? memory : team.scratch(bytes: packing, worker: worker))
  }
  for index in 1..<max(parts, 1) { add(c, part(index), into: c, team: team) }
}

/// A rectangle of an output.
struct ProductArea {
  let rows, columns: Range<Int>
}

/// The cut of an output into areas of nearly equal size, by shape alone.
struct ProductTiling {
  private let rows, columns: Int
  private let rowCuts, columnCuts: Int

  /// Above 16 million multiplications (0.13 ms of one core) the longer side is halved down to
  /// `least`, for the sake of four tasks to 128: each area packs the factors it reads, which costs
  /// 5 to 10 of 100 at 256 × 256 and twice as much at 128 × 128. `parts` tasks share each area.
  init(_ rows: Int, _ columns: Int, depth: Int, least: Int = 256, parts: Int = 1) {
    self.rows = rows
    self.columns = columns
    let work = rows * columns * depth
    var rowCuts = 1
    var columnCuts = 1
    while work / (rowCuts * columnCuts) > 16_000_000 && rowCuts * columnCuts < 64 {
      let height = rows / rowCuts
      let width = columns / columnCuts
      if max(height, width) < (rowCuts * columnCuts * parts < 4 ? 256 : 2 * least) { break }
      if height >= width { rowCuts *= 2 } else { columnCuts *= 2 }
    }
    self.rowCuts = rowCuts
    self.columnCuts = columnCuts
  }

  /// For op(a)[rows, depth] · op(b). With few rows and weights W[columns, depth] the columns are cut into
  /// tasks, so that threads read weights at once: finer ones share them out more evenly, but each costs
  /// its claim. Sizes are by trial on set b with two threads: three eighths of the one for a row lose
  /// 5 of 100, a quarter of the other 7.
  static func output(
    _ rows: Int, _ columns: Int, depth: Int, _ transposed: Transposition
  ) -> ProductTiling {
    guard transposed == .right && rows <= 128 else {
      return ProductTiling(rows, columns, depth: depth)
    }
    // One row meets four vectors of columns at a time.
    let (elements, width) = rows == 1 ? (32_000, 64) : (100_000, 32)
    let most = min(columns * depth * max(1, rows / 8) / elements, columns / width, 32)
    var cuts = 1
    while 2 * cuts <= most { cuts *= 2 }
    return ProductTiling(rows, columns, columnCuts: cuts)
  }

  private init(_ rows: Int, _ columns: Int, columnCuts: Int) {
    self.rows = rows
    self.columns = columns
    rowCuts = 1
    self.columnCuts = columnCuts
  }

  /// No area has more rows.
  var tallest: Int { rows / rowCuts + 16 }

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
///
/// Our own panels want the 32 registers of AVX-512; compiled for less, OpenBLAS is faster.
func multiply(
  _ a: Matrix, _ b: Matrix, into c: Matrix, _ area: ProductArea, _ transposed: Transposition,
  scale: Double = 1, accumulate: Bool, memory: UnsafeMutableRawPointer
) {
  if compiled_for_avx512() == 1 {
    multiplyPanels(
      a, b, into: c, area, transposed, scale: scale, accumulate: accumulate, memory: memory)
  } else {
    multiplyWithOpenBLAS(a, b, into: c, area, transposed, scale: scale, accumulate: accumulate)
  }
}

/// The same bits of a row whatever it was compiled for, and however many rows there are.
func multiplyPanels(
  _ a: Matrix, _ b: Matrix, into c: Matrix, _ area: ProductArea, _ transposed: Transposition,
  scale: Double = 1, accumulate: Bool, memory: UnsafeMutableRawPointer
) {
  if transposed == .right && scale == 1 && (area.rows.count <= fewRows || b.turned != nil) {
    return multiplyFewRows(a, b, into: c, area, accumulate: accumulate, memory: memory)
  }
  switch c.precision {
  case .float32:
    let product = PanelProduct<Float>(
      a: a, b: b, c: c, area: area, transposed: transposed, scale: scale, accumulate: accumulate)
    product.run(memory)
  case .float64:
    let product = PanelProduct<Double>(
      a: a, b: b, c: c, area: area, transposed: transposed, scale: scale, accumulate: accumulate)
    product.run(memory)
  }
}

private func multiplyFewRows(
  _ a: Matrix, _ b: Matrix, into c: Matrix, _ area: ProductArea, accumulate: Bool,
  memory: UnsafeMutableRawPointer
) {
  // Up to four rows behind whole eights are done apart: among eight they would cost as much as eight.
  let rest = area.rows.count % tileRows
  if b.turned != nil && area.rows.count > tileRows && 1...4 ~= rest {
    let edge = area.rows.upperBound - rest
    for rows in [area.rows.lowerBound..<edge, edge..<area.rows.upperBound] {
      multiplyFewRows(
        a, b, into: c, ProductArea(rows: rows, columns: area.columns), accumulate: accumulate,
        memory: memory)
    }
    return
  }
  switch c.precision {
  case .float32:
    FewRowProduct<Float>(a: a, b: b, c: c, area: area, accumulate: accumulate).run(memory)
  case .float64:
    FewRowProduct<Double>(a: a, b: b, c: c, area: area, accumulate: accumulate).run(memory)
  }
}

private func multiplyWithOpenBLAS(
  _ a: Matrix, _ b: Matrix, into c: Matrix, _ area: ProductArea, _ transposed: Transposition,
  scale: Double, accumulate: Bool
) {
  let depth = transposed == .left ? a.rows : a.columns
  let bytes = c.precision.bytes
  let m = area.rows.count
  let n = area.columns.count
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
