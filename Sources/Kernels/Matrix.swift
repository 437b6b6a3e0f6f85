// What a kernel is given: memory with a precision and a shape. Owns nothing.

/// The floating-point format of a run: float32 to train, float64 to prove.
public enum Precision: String, Sendable, CaseIterable, Codable {
  case float32, float64

  /// Bytes of one element.
  public var bytes: Int { self == .float32 ? 4 : 8 }
}

/// Row-major rows × columns elements at `base`, consecutive rows `stride` elements apart.
///
/// Borrowed memory: whoever makes a `Matrix` keeps the memory alive while kernels run.
public struct Matrix {
  public let base: UnsafeMutableRawPointer
  public let rows: Int
  public let columns: Int
  /// Elements from one row's start to the next; at least `columns`.
  public let stride: Int
  public let precision: Precision
  /// The same elements as `turn` put them, for x · thisᵀ; nil where nobody did.
  public let turned: UnsafeMutableRawPointer?

  public init(
    _ base: UnsafeMutableRawPointer, rows: Int, columns: Int, stride: Int? = nil,
    precision: Precision, turned: UnsafeMutableRawPointer? = nil
  ) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
    self.precision = precision
    self.turned = turned
  }

  /// Number of elements, gaps between rows not counted.
  public var count: Int { rows * columns }
  public var isContiguous: Bool { stride == columns || rows <= 1 }

  /// Rows `first ..< first + count` of the same memory.
  public func rows(_ first: Int, count: Int) -> Matrix {
    Matrix(
      base + first * stride * precision.bytes, rows: count, columns: columns, stride: stride,
      precision: precision)
  }

  /// Columns `first ..< first + count` of the same memory.
  public func columns(_ first: Int, count: Int) -> Matrix {
    Matrix(
      base + first * precision.bytes, rows: rows, columns: count, stride: stride,
      precision: precision)
  }

  func pointer<Scalar>(_ type: Scalar.Type) -> UnsafeMutablePointer<Scalar> {
    base.assumingMemoryBound(to: type)
  }
}

/// Traps with a message that survives optimised builds, where `precondition` loses it.
///
/// For bugs only; what a user can cause is thrown.
@inlinable
public func require(
  _ condition: Bool, _ why: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition { fatalError(why(), file: file, line: line) }
}
