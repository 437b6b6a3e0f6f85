// Reading a safetensors file by pread into the caller's memory. Nothing is mapped, nothing kept.

import Glibc
import Kernels

/// An open safetensors file, its header checked. May be read from several threads.
public final class SafetensorsFile: Sendable {
  public let header: SafetensorsHeader
  private let file: ReadableFile

  public init(path: String) throws {
    let file = try ReadableFile(path)
    self.file = file
    header = try SafetensorsHeader(path: path, length: file.bytes) {
      try file.read(count: $0, at: $1)
    }
  }

  public var path: String { file.path }
  public var bytes: Int { file.bytes }
  public var tensors: [TensorDescription] { header.entries.map(\.tensor) }

  /// SHA-256 of the whole file.
  public func digest() throws -> String { try file.digest() }

  /// Elements from `first` on, as they lie in the file; as many as fill `target`.
  public func read(
    _ entry: SafetensorsHeader.Entry, from first: Int = 0,
    into target: UnsafeMutableRawBufferPointer
  ) throws {
    let size = entry.tensor.type.bytes
    require(
      first >= 0 && target.count % size == 0
        && first + target.count / size <= entry.tensor.count,
      "\(target.count) bytes from element \(first) of \(entry.tensor)")
    try file.read(into: target, at: entry.offset + first * size)
  }

  /// Elements from `first` on as Float or Double; as many as fill `target`.
  ///
  /// Throws when the tensor's type is no floating-point type. Narrowing rounds to nearest.
  public func read(
    _ entry: SafetensorsHeader.Entry, from first: Int = 0,
    into target: UnsafeMutableRawBufferPointer, as precision: Precision
  ) throws {
    let type = entry.tensor.type
    guard type.isFloat else {
      throw FileError(
        path,
        "tensor \"\(entry.tensor.name)\" is \(type.rawValue); F64, F32, F16 or BF16 is wanted")
    }
    if type == ElementType(precision) { return try read(entry, from: first, into: target) }
    let count = target.count / precision.bytes
    let piece = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(count, 1 << 16) * type.bytes, alignment: 64)
    defer { piece.deallocate() }
    var done = 0
    while done < count {
      let now = min(count - done, 1 << 16)
      let source = UnsafeMutableRawBufferPointer(rebasing: piece[..<(now * type.bytes)])
      try read(entry, from: first + done, into: source)
      let start = target.baseAddress! + done * precision.bytes
      switch precision {
      case .float32:
        widen(
          source, type,
          UnsafeMutableBufferPointer(start: start.assumingMemoryBound(to: Float.self), count: now))
      case .float64:
        widen(
          source, type,
          UnsafeMutableBufferPointer(start: start.assumingMemoryBound(to: Double.self), count: now))
      }
      done += now
    }
  }

  /// All elements of an integer or boolean tensor, each checked to fit.
  public func integers<Integer: FixedWidthInteger>(
    _ entry: SafetensorsHeader.Entry, as: Integer.Type
  ) throws -> [Integer] {
    let tensor = entry.tensor
    guard !tensor.type.isFloat else {
      throw FileError(
        path, "tensor \"\(tensor.name)\" is \(tensor.type.rawValue); an integer type is wanted")
    }
    let bytes = try file.read(count: tensor.bytes, at: entry.offset)
    return try bytes.withUnsafeBytes { bytes in
      try (0..<tensor.count).map { index in
        let value: Int64 =
          switch tensor.type {
          case .int64: bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
          case .int32: Int64(bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
          case .int16: Int64(bytes.loadUnaligned(fromByteOffset: index * 2, as: Int16.self))
          case .int8: Int64(bytes.loadUnaligned(fromByteOffset: index, as: Int8.self))
          default: Int64(bytes[index])
          }
        guard let result = Integer(exactly: value) else {
          throw FileError(
            path,
            "tensor \"\(tensor.name)\" holds \(value) at element \(index); "
              + "\(Integer.min) to \(Integer.max) is accepted")
        }
        return result
      }
    }
  }
}

/// Every stored floating-point type as the wanted one.
private func widen<Scalar: BinaryFloatingPoint>(
  _ source: UnsafeMutableRawBufferPointer, _ type: ElementType,
  _ target: UnsafeMutableBufferPointer<Scalar>
) {
  for index in 0..<target.count {
    target[index] =
      switch type {
      case .float64: Scalar(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
      case .float32: Scalar(source.loadUnaligned(fromByteOffset: index * 4, as: Float.self))
      case .float16:
        Scalar(float16(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)))
      default:
        Scalar(
          Float(
            bitPattern: UInt32(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
              << 16))
      }
  }
}

/// IEEE 754 binary16 by its bits; Swift's own Float16 does not exist on every platform.
private func float16(_ bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let exponent = UInt32(bits >> 10) & 31
  let fraction = UInt32(bits & 0x3FF)
  switch exponent {
  case 0:  // zero and subnormal: fraction × 2⁻²⁴
    let magnitude = Float(fraction) * 0x1p-24
    return Float(bitPattern: magnitude.bitPattern | sign)
  case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
  default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
  }
}
