// Products against triple loops in Double.

import Kernels
import Testing

/// Rows, columns and depth of a product, with gaps between the rows of all three matrices.
struct ProductShape: CustomTestStringConvertible, Sendable {
  var m, n, k: Int
  var gap: Int
  var precision: Precision

  var testDescription: String { "\(m) × \(n), depth \(k), gap \(gap), \(precision)" }

  /// Odd, empty, thin and large enough for several tasks, in either direction.
  static let all: [ProductShape] = Precision.allCases.flatMap { precision in
    [
      (1, 1, 1, 0), (0, 5, 3, 0), (5, 0, 3, 1), (3, 5, 0, 2), (7, 3, 5, 1), (17, 33, 65, 3),
      (1, 257, 31, 0), (9, 16, 64, 0), (515, 130, 129, 0), (100, 1030, 67, 5),
      (261, 257, 640, 1), (130, 70, 2100, 2),
    ].map { ProductShape(m: $0.0, n: $0.1, k: $0.2, gap: $0.3, precision: precision) }
  }

  var tolerance: Double { precision == .float32 ? 3e-6 : 5e-15 }

  func random(_ seed: UInt64, _ rows: Int, _ columns: Int) -> Sample {
    Sample(
      random: seed, Shape(rows: rows, columns: columns, gap: gap, precision: precision))
  }

  func unwritten(_ rows: Int, _ columns: Int) -> Sample {
    Sample(rows, columns, gap: gap, precision)
  }
}

/// Σ_k left(i, k) · right(k, j), row after row.
private func sums(
  _ m: Int, _ n: Int, _ k: Int, _ left: (Int, Int) -> Double, _ right: (Int, Int) -> Double
) -> [Double] {
  let left = (0..<m).map { i in (0..<k).map { left(i, $0) } }
  let right = (0..<n).map { j in (0..<k).map { right($0, j) } }
  return left.flatMap { row in right.map { zip(row, $0).reduce(0) { $0 + $1.0 * $1.1 } } }
}

@Test(arguments: ProductShape.all)
func `a product is its triple loop, transposed, scaled and added to`(_ shape: ProductShape) {
  let (m, n, k) = (shape.m, shape.n, shape.k)
  let a = shape.random(1, m, k)
  let b = shape.random(2, k, n)
  let aAcross = Sample(k, m, gap: shape.gap, shape.precision) { a[$1, $0] }
  let bAcross = Sample(n, k, gap: shape.gap, shape.precision) { b[$1, $0] }
  let before = shape.random(3, m, n)
  let found = results { team in
    let plain = shape.unwritten(m, n)
    product(a.matrix, b.matrix, into: plain.matrix, team: team)
    let left = shape.unwritten(m, n)
    product(aAcross.matrix, b.matrix, into: left.matrix, transposed: .left, team: team)
    let right = shape.unwritten(m, n)
    product(
      a.matrix, bAcross.matrix, into: right.matrix, transposed: .right, scale: -0.375, team: team)
    let added = before.copy
    product(a.matrix, b.matrix, into: added.matrix, scale: 2, accumulate: true, team: team)
    return [plain, left, right, added]
  }
  let truth = sums(m, n, k, { a[$0, $1] }, { b[$0, $1] })
  expectClose(found[0].values, truth, tolerance: shape.tolerance)
  expectClose(found[1].values, truth, tolerance: shape.tolerance)
  expectClose(found[2].values, truth.map { -0.375 * $0 }, tolerance: shape.tolerance)
  expectClose(
    found[3].values, zip(before.values, truth).map { $0 + 2 * $1 }, tolerance: shape.tolerance)
}

/// Row counts of the groups: empty ones first, last and between, a single row, and long ones.
private let groupings = [[0, 5, 0, 1, 37, 0], [0, 0], [300, 3, 129]]

@Test(arguments: groupings, Precision.allCases)
func `each group meets its own weights`(_ counts: [Int], _ precision: Precision) {
  let offsets = counts.reduce(into: [0]) { $0.append($0.last! + $1) }
  let (n, k) = (190, 131)
  let shape = ProductShape(m: offsets.last!, n: n, k: k, gap: 2, precision: precision)
  let x = shape.random(1, shape.m, k)
  let dy = shape.random(2, shape.m, n)
  let weights = counts.indices.map { shape.random(UInt64(10 + $0), n, k) }
  let before = counts.indices.map { shape.random(UInt64(30 + $0), n, k) }
  let adds = counts.indices.map { $0 % 2 == 1 }
  let dxBefore = shape.random(3, shape.m, k)
  let found = results { team in
    let y = shape.unwritten(shape.m, n)
    groupedProduct(
      x.matrix, offsets: offsets, weights: weights.map(\.matrix), into: y.matrix, form: .output,
      team: team)
    let dx = dxBefore.copy
    groupedProduct(
      dy.matrix, offsets: offsets, weights: weights.map(\.matrix), into: dx.matrix,
      form: .inputGradient, accumulate: true, team: team)
    let dw = counts.indices.map { adds[$0] ? before[$0].copy : shape.unwritten(n, k) }
    groupedWeightGradient(
      dy.matrix, x.matrix, offsets: offsets, into: dw.map(\.matrix), accumulate: adds, team: team)
    return [y, dx] + dw
  }
  let owner = counts.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
  let y = (0..<shape.m).flatMap { row in
    sums(1, n, k, { _, c in x[row, c] }, { c, j in weights[owner[row]][j, c] })
  }
  let dx = (0..<shape.m).flatMap { row in
    sums(1, k, n, { _, c in dy[row, c] }, { c, j in weights[owner[row]][c, j] })
  }
  expectClose(found[0].values, y, tolerance: shape.tolerance)
  expectClose(
    found[1].values, zip(dxBefore.values, dx).map(+), tolerance: shape.tolerance)
  for (group, count) in counts.enumerated() {
    let first = offsets[group]
    let dw = sums(n, k, count, { dy[first + $1, $0] }, { x[first + $0, $1] })
    expectClose(
      found[2 + group].values,
      adds[group] ? zip(before[group].values, dw).map(+) : dw, tolerance: shape.tolerance)
  }
}

@Test(arguments: ProductShape.all)
func `a row-stable product is its triple loop`(_ shape: ProductShape) {
  let (m, n, k) = (shape.m, shape.n, shape.k)
  let x = shape.random(1, m, k)
  let w = shape.random(2, n, k)
  let found = results { team in
    let y = shape.unwritten(m, n)
    rowStableProduct(x.matrix, w.matrix, into: y.matrix, team: team)
    return [y]
  }
  expectClose(
    found[0].values, sums(m, n, k, { x[$0, $1] }, { w[$1, $0] }), tolerance: 3 * shape.tolerance)
}

@Test(arguments: Precision.allCases, [(8, 256), (14, 64), (33, 100)])
func `a row keeps its bits wherever it stands`(_ precision: Precision, _ sizes: (Int, Int)) {
  let (n, k) = sizes
  let shape = ProductShape(m: 131, n: n, k: k, gap: 1, precision: precision)
  let x = shape.random(1, shape.m, k)
  let w = shape.random(2, n, k)
  let team = ThreadTeam(size: 2)
  let whole = shape.unwritten(shape.m, n)
  rowStableProduct(x.matrix, w.matrix, into: whole.matrix, team: team)
  for (first, count) in [(0, 1), (1, 1), (130, 1), (3, 7), (5, 9), (60, 71), (17, 64)] {
    let part = shape.unwritten(count, n)
    rowStableProduct(
      x.matrix.rows(first, count: count), w.matrix, into: part.matrix, team: team)
    #expect(part.bits == Array(whole.bits[first * n..<(first + count) * n]), "rows from \(first)")
  }
}

/// Rows by eights and what is beside them, and more than are taken without packing.
private let rowCounts = Array(1...9) + [12, 31, 32, 33, 130]

@Test(
  .enabled(
    if: productKernelName == "AVX-512 panels", "OpenBLAS rounds differently with the row count"),
  arguments: Precision.allCases, [(8, 256), (14, 64), (33, 100), (96, 520), (300, 17)])
func `the number of rows does not change a row's bits`(
  _ precision: Precision, _ sizes: (Int, Int)
) {
  let (n, k) = sizes
  let shape = ProductShape(m: 131, n: n, k: k, gap: 1, precision: precision)
  let x = shape.random(1, shape.m, k)
  let w = shape.random(2, n, k)
  let before = shape.random(3, shape.m, n)
  let team = ThreadTeam(size: 2)
  func products(_ first: Int, _ count: Int) -> [Sample] {
    let rows = x.matrix.rows(first, count: count)
    let plain = shape.unwritten(count, n)
    product(rows, w.matrix, into: plain.matrix, transposed: .right, team: team)
    let added = Sample(count, n, gap: 1, precision) { before[first + $0, $1] }
    product(
      rows, w.matrix, into: added.matrix, transposed: .right, accumulate: true, team: team)
    let grouped = shape.unwritten(count, n)
    groupedProduct(
      rows, offsets: [0, 0, count], weights: [w.matrix, w.matrix], into: grouped.matrix,
      form: .output, team: team)
    let routed = shape.unwritten(count, n)
    rowStableProduct(rows, w.matrix, into: routed.matrix, team: team)
    return [plain, added, grouped, routed]
  }
  let whole = products(0, shape.m)
  #expect(whole[0].bits == whole[2].bits && whole[0].bits == whole[3].bits)
  for count in rowCounts {
    let first = count % 2
    for (part, whole) in zip(products(first, count), whole) {
      #expect(part.isIntactAround)
      #expect(part.bits == Array(whole.bits[first * n..<(first + count) * n]), "\(count) rows")
    }
  }
}
