// A shape over shared memory. Contiguous and row-major; no strides, no laziness.

import Glibc
import Kernels

/// Memory that tensors share: from a device's arena, or mapped for itself.
public final class Storage {
  public let base: UnsafeMutableRawPointer
  public let bytes: Int
  private let arena: Arena?
  /// What this is a part of, and keeps.
  private let whole: Storage?
  /// What was mapped for it.
  private let mapping: UnsafeMutableRawBufferPointer?
  /// The same elements, read as matrices of rows × columns, turned for products with few rows.
  package var turned: (memory: Tensor, rows: Int, columns: Int)? {
    didSet { turnedPlace = turned.map { ($0.memory.base, $0.rows, $0.columns) } }
  }
  /// Of `turned`, without a reference to count: every product asks.
  fileprivate private(set) var turnedPlace:
    (base: UnsafeMutableRawPointer, rows: Int, columns: Int)?

  init(_ base: UnsafeMutableRawPointer, bytes: Int, from arena: Arena) {
    self.base = base
    self.bytes = bytes
    self.arena = arena
    whole = nil
    mapping = nil
  }

  /// The part of `whole` that starts `offset` bytes in.
  public init(_ whole: Storage, offset: Int, bytes: Int) {
    require(offset + bytes <= whole.bytes, "\(bytes) bytes at \(offset) of \(whole.bytes)")
    base = whole.base + offset
    self.bytes = bytes
    arena = nil
    self.whole = whole
    mapping = nil
  }

  /// Zeroed memory of its own, for what lives as long as the run (weights, gradients, moments): in huge
  /// pages from an eighth of one on, which the system hands to other ranks in fewer pieces.
  public init(bytes: Int) {
    let page = 2 << 20
    let isLarge = 8 * bytes >= page
    // What is left behind whole pages takes small ones.
    let huge = isLarge ? max(bytes / page, 1) * page : 0
    let size = isLarge ? max(bytes, page) + page : max(bytes, 1)
    let mapped = mmap(
      nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    require(mapped != MAP_FAILED, "the system gives no memory for \(bytes) bytes: errno \(errno)")
    base = isLarge ? mapped!.alignedUp(toMultipleOf: page) : mapped!
    if isLarge { _ = madvise(base, huge, adviseHugePages) }
    mapping = UnsafeMutableRawBufferPointer(start: mapped, count: size)
    self.bytes = bytes
    arena = nil
    whole = nil
  }

  deinit {
    if let arena { arena.give(base, bytes) }
    if let mapping { munmap(mapping.baseAddress!, mapping.count) }
  }
}

/// A dense array of floating-point numbers. Copies share memory: whoever writes says so.
public struct Tensor {
  public let shape: TensorShape
  public let precision: Precision
  public internal(set) var storage: Storage
  /// Elements from the storage's start.
  let offset: Int

  /// The part of `storage` that starts `offset` elements in.
  public init(shape: TensorShape, precision: Precision, storage: Storage, offset: Int = 0) {
    self.shape = shape
    self.precision = precision
    self.storage = storage
    self.offset = offset
    require(
      (offset + count) * precision.bytes <= storage.bytes,
      "shape \(shape) at \(offset) in \(storage.bytes) bytes")
  }

  public var count: Int { shape.elements }
  public var base: UnsafeMutableRawPointer { storage.base + offset * precision.bytes }
  /// Product of all dimensions but the last.
  public var rows: Int { shape.rows }
  public var columns: Int { shape.columns }

  /// The same memory as rows × last dimension.
  public var matrix: Matrix { firstMatrix(of: 1) }

  /// The first of `count` equal parts of the rows.
  func firstMatrix(of count: Int) -> Matrix {
    let rows = rows / count
    let columns = columns
    let start = offset * precision.bytes
    var turned: UnsafeMutableRawPointer?
    if let found = storage.turnedPlace, found.rows == rows, found.columns == columns {
      turned = found.base + start
    }
    return Matrix(
      storage.base + start, rows: rows, columns: columns, precision: precision, turned: turned)
  }

  /// The same memory under another shape of equal count.
  public func reshaped(_ shape: TensorShape) -> Tensor {
    let result = Tensor(shape: shape, precision: precision, storage: storage, offset: offset)
    require(result.count == count, "\(self.shape) does not become \(shape)")
    return result
  }

  /// The same memory as rows × columns.
  public func matrix(columns: Int) -> Matrix {
    require(columns > 0 && count % columns == 0, "\(shape) has no rows of \(columns)")
    return Matrix(base, rows: count / columns, columns: columns, precision: precision)
  }

  /// Slices `first ..< first + count` of the first dimension, sharing memory.
  public func slices(_ first: Int, count: Int) -> Tensor {
    let inner = shape.replacing(first: 1).elements
    require(first + count <= shape[0], "slices \(first) + \(count) of \(shape)")
    return Tensor(
      shape: shape.replacing(first: count), precision: precision, storage: storage,
      offset: offset + first * inner)
  }

  /// All elements, widened to Double.
  public var elements: [Double] {
    switch precision {
    case .float32:
      let pointer = base.assumingMemoryBound(to: Float.self)
      return (0..<count).map { Double(pointer[$0]) }
    case .float64:
      let pointer = base.assumingMemoryBound(to: Double.self)
      return (0..<count).map { pointer[$0] }
    }
  }

  /// Overwrites the memory, rounding to the precision.
  public func assign(_ elements: [Double]) {
    require(elements.count == count, "\(elements.count) elements for shape \(shape)")
    switch precision {
    case .float32:
      let pointer = base.assumingMemoryBound(to: Float.self)
      for index in 0..<count { pointer[index] = Float(elements[index]) }
    case .float64:
      let pointer = base.assumingMemoryBound(to: Double.self)
      for index in 0..<count { pointer[index] = elements[index] }
    }
  }

  /// The only element, widened to Double.
  public var scalar: Double {
    require(count == 1, "\(shape) is not one element")
    switch precision {
    case .float32: return Double(base.load(as: Float.self))
    case .float64: return base.load(as: Double.self)
    }
  }
}
