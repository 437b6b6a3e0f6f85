// A tensor's dimensions, held in place: an array would be memory of its own for every tensor made.

import Kernels

/// Up to four sizes, the last one that of neighbouring elements.
public struct TensorShape: Sendable, Equatable {
  /// Ones stand behind the last dimension.
  @usableFromInline var sizes: (Int, Int, Int, Int) = (1, 1, 1, 1)
  /// How many dimensions there are.
  public let count: Int

  /// Traps where there are more than four.
  @inlinable
  public init(_ sizes: some Collection<Int>) {
    count = sizes.count
    require(count <= 4, "\(count) dimensions: \(Array(sizes))")
    for (dimension, size) in sizes.enumerated() { set(dimension, size) }
  }

  @inlinable
  mutating func set(_ dimension: Int, _ size: Int) {
    switch dimension {
    case 0: sizes.0 = size
    case 1: sizes.1 = size
    case 2: sizes.2 = size
    default: sizes.3 = size
    }
  }

  /// Product of all sizes.
  @inlinable
  public var elements: Int { sizes.0 * sizes.1 * sizes.2 * sizes.3 }
  /// The last size; 1 of a scalar.
  @inlinable
  public var columns: Int { count == 0 ? 1 : self[count - 1] }
  /// Product of all sizes but the last.
  @inlinable
  public var rows: Int { replacing(last: 1).elements }

  /// The same with another first size.
  @inlinable
  public func replacing(first size: Int) -> TensorShape {
    require(count > 0, "a number has no first size")
    var shape = self
    shape.set(0, size)
    return shape
  }

  /// The same with another last size.
  @inlinable
  public func replacing(last size: Int) -> TensorShape {
    var shape = self
    if count > 0 { shape.set(count - 1, size) }
    return shape
  }

  public static func == (a: Self, b: Self) -> Bool { a.count == b.count && a.sizes == b.sizes }
}

extension TensorShape: RandomAccessCollection {
  @inlinable
  public var startIndex: Int { 0 }
  @inlinable
  public var endIndex: Int { count }

  @inlinable
  public subscript(dimension: Int) -> Int {
    switch dimension {
    case 0: sizes.0
    case 1: sizes.1
    case 2: sizes.2
    default: sizes.3
    }
  }
}

extension TensorShape: ExpressibleByArrayLiteral, CustomStringConvertible {
  @inlinable
  public init(arrayLiteral sizes: Int...) { self.init(sizes) }

  public var description: String { Array(self).description }
}
