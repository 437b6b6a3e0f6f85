// Tensors by name, wherever they lie: one safetensors file, several, or a Hugging Face folder.

import Kernels
import Parallel

/// A set of named tensors over one or more safetensors files.
public struct TensorSource: Sendable {
  private struct Place: Sendable {
    let file: SafetensorsFile
    let entry: SafetensorsHeader.Entry
  }

  /// What the tensors came from, for messages.
  public let path: String
  public let files: [SafetensorsFile]
  /// File by file, in the order in which they lie there.
  public let tensors: [TensorDescription]
  private let places: [String: Place]

  /// All tensors of these files; a name that stands twice is refused.
  public init(files paths: [String], path: String) throws {
    self.path = path
    files = try paths.map { try SafetensorsFile(path: $0) }
    var places: [String: Place] = [:]
    for file in files {
      for entry in file.header.entries {
        let name = entry.tensor.name
        if let other = places.updateValue(Place(file: file, entry: entry), forKey: name) {
          throw FileError(file.path, "tensor \"\(name)\" also stands in \(other.file.path)")
        }
      }
    }
    self.places = places
    tensors = files.flatMap(\.tensors)
  }

  public init(file path: String) throws { try self.init(files: [path], path: path) }

  /// The weights of a model folder: `model.safetensors`, or the shards that
  /// `model.safetensors.index.json` names.
  public init(folder: String) throws {
    let single = "\(folder)/model.safetensors"
    let index = "\(folder)/model.safetensors.index.json"
    switch (Disk().exists(single), Disk().exists(index)) {
    case (true, false): try self.init(file: single)
    case (false, true): try self.init(index: index, folder: folder)
    case (true, true):
      throw FileError(folder, "holds model.safetensors and an index of shards; keep one of them")
    case (false, false):
      throw FileError(folder, "holds neither model.safetensors nor model.safetensors.index.json")
    }
  }

  private init(index path: String, folder: String) throws {
    guard let map = try JSON(file: path)["weight_map"]?.asObject else {
      throw FileError(path, "has no object \"weight_map\" from tensor to file name")
    }
    var shards: [String] = []
    var shardOf: [String: String] = [:]
    for (name, value) in map {
      guard let shard = value.asString, isPlainFileName(shard) else {
        throw FileError(
          path, "\"\(name)\" is said to be in \(value.compact); a plain file name is accepted")
      }
      if !shards.contains(shard) { shards.append(shard) }
      shardOf[name] = shard
    }
    try self.init(files: shards.sorted().map { "\(folder)/\($0)" }, path: folder)
    for (name, shard) in map {
      guard let place = places[name], Disk.name(of: place.file.path) == shard.asString else {
        throw FileError(path, "tensor \"\(name)\" is not in \(shard.compact)")
      }
    }
    for tensor in tensors where shardOf[tensor.name] == nil {
      throw FileError(path, "does not name tensor \"\(tensor.name)\", which a shard holds")
    }
  }

  /// In file order.
  public var names: [String] { tensors.map(\.name) }

  /// nil where there is none of that name.
  public func description(of name: String) -> TensorDescription? { places[name]?.entry.tensor }

  /// Fills `target` with a whole floating-point tensor; throws unless it exists with this shape.
  public func read(
    _ name: String, shape: [Int], into target: UnsafeMutableRawBufferPointer,
    as precision: Precision
  ) throws {
    try read(
      name, SlicePart(of: shape, slice: shape.map { 0..<$0 }), into: target, as: precision)
  }

  /// Fills `target` with part of a floating-point tensor; throws unless it exists with the shape that
  /// the part is of.
  public func read(
    _ name: String, _ part: SlicePart, into target: UnsafeMutableRawBufferPointer,
    as precision: Precision
  ) throws {
    let place = try place(name)
    let shape = place.entry.tensor.shape
    guard shape == part.shape else {
      throw FileError(
        place.file.path, "tensor \"\(name)\" has shape \(shape); \(part.shape) is wanted")
    }
    require(
      target.count == part.count * precision.bytes,
      "\(target.count) bytes for \(part.count) elements of \(name)")
    try place.file.read(place.entry, part, into: target, as: precision)
  }

  /// Fills `target` with elements of a floating-point tensor, row-major, from `first` on.
  public func read(
    _ name: String, from first: Int, into target: UnsafeMutableRawBufferPointer,
    as precision: Precision
  ) throws {
    let place = try place(name)
    try place.file.read(place.entry, from: first, into: target, as: precision)
  }

  /// Fills `target` with a whole tensor's bytes as they lie in the file.
  public func read(_ name: String, into target: UnsafeMutableRawBufferPointer) throws {
    let place = try place(name)
    require(
      target.count == place.entry.tensor.bytes, "\(target.count) bytes for \(place.entry.tensor)")
    try place.file.read(place.entry, into: target)
  }

  /// All elements of a floating-point tensor.
  public func floats(_ name: String) throws -> [Float] {
    let place = try place(name)
    var result = [Float](repeating: 0, count: place.entry.tensor.count)
    try result.withUnsafeMutableBytes {
      try place.file.read(place.entry, into: $0, as: .float32)
    }
    return result
  }

  /// All elements of a floating-point tensor.
  public func doubles(_ name: String) throws -> [Double] {
    let place = try place(name)
    var result = [Double](repeating: 0, count: place.entry.tensor.count)
    try result.withUnsafeMutableBytes {
      try place.file.read(place.entry, into: $0, as: .float64)
    }
    return result
  }

  /// All elements of an integer or boolean tensor, each checked to fit.
  public func integers<Integer: FixedWidthInteger>(
    _ name: String, as type: Integer.Type = Int.self
  ) throws -> [Integer] {
    let place = try place(name)
    return try place.file.integers(place.entry, as: type)
  }

  private func place(_ name: String) throws -> Place {
    guard let place = places[name] else {
      throw FileError(path, "has no tensor \"\(name)\"; it has \(places.count) others")
    }
    return place
  }
}

/// A name that stays in its folder.
func isPlainFileName(_ name: String) -> Bool {
  !name.isEmpty && !name.hasPrefix(".") && name.utf8.count <= 255
    && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 }
}
