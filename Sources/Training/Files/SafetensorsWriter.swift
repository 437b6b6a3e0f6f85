// Writing a safetensors file in one pass: header first, then each tensor from the caller's memory.

import Kernels

/// Streams tensors of known shapes into a file, in the order given.
public final class SafetensorsWriter {
  private let file: WritableFile
  private let tensors: [TensorDescription]
  private var next = 0
  /// Bytes of tensors that are yet to come.
  private(set) var room: Int

  /// `metadata` becomes `__metadata__`; transformers wants `format: pt` there.
  public init(
    _ path: String, tensors: [TensorDescription], metadata: [(key: String, value: String)] = [],
    landing: Landing = .renamed, disk: Disk = Disk()
  ) throws {
    self.tensors = tensors
    room = tensors.reduce(0) { $0 + $1.bytes }
    file = try WritableFile(path, landing: landing, disk: disk)
    try SafetensorsHeader.bytes(for: tensors, metadata: metadata).withUnsafeBytes {
      try file.write($0)
    }
  }

  /// Writes the next tensor, which must be this one.
  public func write(_ name: String, _ bytes: UnsafeRawBufferPointer) throws {
    require(next < tensors.count, "tensor \(name) after the last of \(file.path)")
    let tensor = tensors[next]
    require(
      tensor.name == name && tensor.bytes == bytes.count,
      "tensor \(name) of \(bytes.count) bytes where \(tensor.name) of \(tensor.bytes) is due")
    next += 1
    try append(bytes)
  }

  /// Writes the next bytes of the tensors, which follow each other without gaps.
  func append(_ bytes: UnsafeRawBufferPointer) throws {
    require(bytes.count <= room, "\(bytes.count) bytes for \(room) left in \(file.path)")
    try file.write(bytes)
    room -= bytes.count
  }

  /// Makes the file durable under its name.
  @discardableResult
  public func finish() throws -> FileEntry {
    require(room == 0, "\(file.path) ends \(room) bytes early")
    return try file.finish()
  }

  /// A whole file at once, wider elements first so that each tensor is aligned to its elements.
  public static func write(
    _ path: String, _ tensors: [(tensor: TensorDescription, bytes: UnsafeRawBufferPointer)],
    metadata: [(key: String, value: String)] = []
  ) throws {
    let ordered = tensors.enumerated().sorted {
      (-$0.element.tensor.type.bytes, $0.offset) < (-$1.element.tensor.type.bytes, $1.offset)
    }.map(\.element)
    let writer = try SafetensorsWriter(path, tensors: ordered.map(\.tensor), metadata: metadata)
    for (tensor, bytes) in ordered { try writer.write(tensor.name, bytes) }
    try writer.finish()
  }
}
