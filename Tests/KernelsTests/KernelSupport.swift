// Matrices under test, the shapes they take, and how results are compared. Used by all but the tests
// of products and attention.

import Kernels
import Testing

/// Memory of one matrix, with gaps between rows and room behind that a kernel must leave alone.
///
/// A matrix borrows this memory: a sample that is not read after a kernel's call must be kept alive
/// with `withExtendedLifetime`.
final class Sample {
  let matrix: Matrix
  private let memory: UnsafeMutableRawPointer
  private let elements: Int

  /// NaN everywhere but at the `value`s: what a kernel reads by mistake shows in its result.
  init(
    _ rows: Int, _ columns: Int, gap: Int = 0, _ precision: Precision,
    _ value: (Int, Int) -> Double = { _, _ in .nan }
  ) {
    elements = rows * (columns + gap) + 64
    memory = .allocate(byteCount: elements * precision.bytes, alignment: 8)
    matrix = Matrix(
      memory, rows: rows, columns: columns, stride: columns + gap, precision: precision)
    for element in 0..<elements { write(.nan, at: element) }
    for row in 0..<rows {
      for column in 0..<columns { self[row, column] = value(row, column) }
    }
  }

  /// Random normal values by a generator of its own, so that Random.swift is not presumed.
  convenience init(random seed: UInt64, _ shape: Shape, rows: Int? = nil, columns: Int? = nil) {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    self.init(rows ?? shape.rows, columns ?? shape.columns, gap: shape.gap, shape.precision) {
      _, _ in
      (0..<6).reduce(-3) { total, _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return total + Double(state >> 11) * 0x1p-53
      }
    }
  }

  /// A result of this shape, still unwritten.
  convenience init(for shape: Shape, rows: Int? = nil, columns: Int? = nil) {
    self.init(rows ?? shape.rows, columns ?? shape.columns, gap: shape.gap, shape.precision)
  }

  /// One number for each row, without gaps.
  static func column(random seed: UInt64, _ shape: Shape) -> Sample {
    let source = Sample(random: seed, shape, columns: 1)
    return Sample(shape.rows, 1, shape.precision) { row, _ in source[row, 0] }
  }

  static func column(for shape: Shape) -> Sample { Sample(shape.rows, 1, shape.precision) }

  deinit { memory.deallocate() }

  var copy: Sample {
    Sample(matrix.rows, matrix.columns, gap: matrix.stride - matrix.columns, matrix.precision) {
      self[$0, $1]
    }
  }

  subscript(row: Int, column: Int) -> Double {
    get { read(row * matrix.stride + column) }
    set { write(newValue, at: row * matrix.stride + column) }
  }

  /// Row after row.
  var values: [Double] {
    (0..<matrix.rows).flatMap { row in (0..<matrix.columns).map { self[row, $0] } }
  }

  var bits: [UInt64] { values.map(\.bitPattern) }

  /// That nothing was written between the rows or behind the last.
  var isIntactAround: Bool {
    (0..<elements).allSatisfy { element in
      let row = element / max(matrix.stride, 1)
      return row < matrix.rows && element % matrix.stride < matrix.columns || read(element).isNaN
    }
  }

  private func read(_ element: Int) -> Double {
    matrix.precision == .float32
      ? Double(memory.load(fromByteOffset: element * 4, as: Float.self))
      : memory.load(fromByteOffset: element * 8, as: Double.self)
  }

  private func write(_ value: Double, at element: Int) {
    if matrix.precision == .float32 {
      memory.storeBytes(of: Float(value), toByteOffset: element * 4, as: Float.self)
    } else {
      memory.storeBytes(of: value, toByteOffset: element * 8, as: Double.self)
    }
  }
}

/// Rows and columns around the lanes' ends, with and without gaps; the last two take several tasks.
struct Shape: CustomTestStringConvertible, Sendable {
  var rows: Int
  var columns: Int
  var gap: Int
  var precision: Precision

  var testDescription: String { "\(rows) × \(columns), gap \(gap), \(precision)" }

  static let all: [Shape] = Precision.allCases.flatMap { precision in
    [
      (0, 7, 0), (1, 1, 0), (3, 7, 2), (5, 16, 0), (2, 17, 3), (4, 33, 1), (3, 255, 0),
      (300, 255, 0), (130, 258, 9),
    ].map { Shape(rows: $0.0, columns: $0.1, gap: $0.2, precision: precision) }
  }

  /// Small ones in float64, for central differences.
  static let differentiable: [Shape] = [(1, 1, 0), (3, 7, 2), (2, 17, 3), (4, 33, 0)].map {
    Shape(rows: $0.0, columns: $0.1, gap: $0.2, precision: .float64)
  }

  /// The references are sums in Double of up to some hundred terms of order one.
  var tolerance: Double { precision == .float32 ? 2e-6 : 4e-15 }
}

/// Runs `body` with one thread and with two, expects the same bits of both and nothing written
/// around, and gives the results.
func results(
  _ body: (ThreadTeam) -> [Sample], sourceLocation: SourceLocation = #_sourceLocation
) -> [Sample] {
  let one = body(ThreadTeam(size: 1))
  let two = body(ThreadTeam(size: 2))
  for (one, two) in zip(one, two) {
    #expect(one.bits == two.bits, "two threads give other bits", sourceLocation: sourceLocation)
    #expect(one.isIntactAround && two.isIntactAround, sourceLocation: sourceLocation)
  }
  return one
}

/// Expects max|a − b| ≤ tolerance · max(1e-6, max|b|), and names the worst place.
func expectClose(
  _ a: [Double], _ b: [Double], tolerance: Double,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(a.count == b.count, sourceLocation: sourceLocation)
  let scale = b.reduce(1e-6) { max($0, abs($1)) }
  // A NaN is the worst of all: no comparison with it holds.
  let worst = zip(a, b).map { abs($0 - $1) / scale }.enumerated()
    .max { $0.element.isNaN ? false : $1.element.isNaN ? true : $0.element < $1.element }
  guard let worst else { return }
  #expect(
    worst.element <= tolerance,
    "element \(worst.offset): \(a[worst.offset]) instead of \(b[worst.offset])",
    sourceLocation: sourceLocation)
}

/// (Σ m·f(x + h) − Σ m·f(x − h)) / 2h for each element of x, which `f` reads; m are fixed weights.
func centralDifferences(of x: Sample, weights m: [Double], _ f: () -> [Double]) -> [Double] {
  func scalar() -> Double { zip(f(), m).reduce(0) { $0 + $1.0 * $1.1 } }
  return (0..<x.matrix.rows).flatMap { row in
    (0..<x.matrix.columns).map { column in
      let middle = x[row, column]
      let step = 1e-4
      // Richardson's combination of two widths leaves an error of order step⁴.
      func slope(_ step: Double) -> Double {
        x[row, column] = middle + step
        let above = scalar()
        x[row, column] = middle - step
        let below = scalar()
        x[row, column] = middle
        return (above - below) / (2 * step)
      }
      return (4 * slope(step) - slope(2 * step)) / 3
    }
  }
}

/// Central differences in Double leave 1e-12 / 1e-4 of rounding.
let differenceTolerance = 1e-7
