// The header of a safetensors file: checked to the last byte before any tensor is believed.

import Kernels

/// Which tensors a safetensors file holds, and where.
///
/// Stricter than the reference reader: no duplicate keys anywhere, no other members than the three
/// of the format, names without `/` and NUL, at most 8 dimensions, a header of at most 32 MB.
public struct SafetensorsHeader: Sendable {
  public struct Entry: Sendable {
    public let tensor: TensorDescription
    /// From the file's start.
    public let offset: Int
  }

  /// In the order in which they lie in the file.
  public let entries: [Entry]
  /// The `__metadata__` strings, in their order.
  public let metadata: [(key: String, value: String)]

  static let mostBytes = 32 << 20
  static let mostDimensions = 8
  static let mostNameBytes = 1024

  /// Reads the header of a file of which `length` bytes exist and `read` gives any part.
  init(path: String, length: Int, read: (_ count: Int, _ offset: Int) throws -> [UInt8]) throws {
    guard length >= 8 else {
      throw FileError(
        path, "has \(length) bytes; a safetensors file starts with 8 of header length")
    }
    let announced = try read(8, 0).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard announced <= Self.mostBytes else {
      throw FileError(
        path, "announces a header of \(announced) bytes; at most \(Self.mostBytes) are accepted")
    }
    guard announced <= length - 8 else {
      throw FileError(
        path, "announces a header of \(announced) bytes, but only \(length - 8) follow: cut short?")
    }
    let count = Int(announced)
    var text = try read(count, 8)
    guard text.first == UInt8(ascii: "{") else {
      throw FileError(path, "the header does not start with '{': no safetensors file")
    }
    while text.last == 0x20 { text.removeLast() }
    guard text.last == UInt8(ascii: "}") else {
      throw FileError(path, "the header does not end with '}' and spaces")
    }
    let json = try JSON(parsing: text, source: "\(path) (header)")
    guard case .object(let members) = json else {
      throw FileError(path, "the header is \(json.kind), not an object")
    }
    var metadata: [(key: String, value: String)] = []
    var found: [(begin: Int, end: Int, tensor: TensorDescription)] = []
    for (name, value) in members {
      if name == "__metadata__" {
        metadata = try Self.metadata(value, path)
      } else {
        found.append(try Self.tensor(name, value, path))
      }
    }
    // Where two begin alike, all but the last are empty; the sort is stable.
    found.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    var end = 0
    for entry in found {
      guard entry.begin == end else {
        throw FileError(
          path,
          "tensor \"\(entry.tensor.name)\" begins at byte \(entry.begin) of the data, not at "
            + "\(end) where the one before ends: \(entry.begin < end ? "an overlap" : "a hole")")
      }
      end = entry.end
    }
    let dataStart = 8 + count
    guard dataStart + end == length else {
      throw FileError(
        path,
        "has \(length) bytes, its header says \(dataStart + end): "
          + (length < dataStart + end ? "cut short" : "something follows the last tensor"))
    }
    self.metadata = metadata
    entries = found.map { Entry(tensor: $0.tensor, offset: dataStart + $0.begin) }
  }

  private static func metadata(_ value: JSON, _ path: String) throws -> [(
    key: String, value: String
  )] {
    guard case .object(let members) = value else {
      throw FileError(path, "__metadata__ is \(value.kind), not an object of strings")
    }
    return try members.map { key, value in
      guard case .string(let text) = value else {
        throw FileError(path, "__metadata__ \"\(key)\" is \(value.kind), not a string")
      }
      return (key, text)
    }
  }

  private static func tensor(_ name: String, _ value: JSON, _ path: String) throws
    -> (begin: Int, end: Int, tensor: TensorDescription)
  {
    if let problem = problem(ofName: name) {
      throw FileError(path, "a tensor's name \(problem): \"\(name.prefix(80))\"")
    }
    func failure(_ problem: String) -> FileError {
      FileError(path, "tensor \"\(name)\": \(problem)")
    }
    guard case .object(let members) = value else {
      throw failure("is \(value.kind), not an object")
    }
    for key in members.names where !["dtype", "shape", "data_offsets"].contains(key) {
      throw failure("has the member \"\(key)\"; dtype, shape and data_offsets are accepted")
    }
    guard let dtype = members["dtype"]?.asString else { throw failure("dtype is no string") }
    guard let type = ElementType(rawValue: dtype) else {
      let accepted = ElementType.allCases.map(\.rawValue).joined(separator: " ")
      throw failure("dtype \"\(dtype)\" is not supported; accepted are \(accepted)")
    }
    func sizes(_ key: String) throws -> [Int] {
      guard let list = members[key]?.asArray else { throw failure("\(key) is no array") }
      return try list.map {
        guard let size = $0.asInteger, size >= 0 else {
          throw failure("\(key) holds \($0.compact.prefix(40)); integers from 0 are accepted")
        }
        return size
      }
    }
    let shape = try sizes("shape")
    guard shape.count <= mostDimensions else {
      throw failure("has \(shape.count) dimensions; at most \(mostDimensions) are accepted")
    }
    let offsets = try sizes("data_offsets")
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw failure("data_offsets \(offsets) are not a begin and an end after it")
    }
    var bytes = type.bytes
    for size in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      guard !overflow else { throw failure("shape \(shape) is beyond what memory can hold") }
      bytes = product
    }
    guard bytes == offsets[1] - offsets[0] else {
      throw failure(
        "shape \(shape) of \(dtype) needs \(bytes) bytes, data_offsets give "
          + "\(offsets[1] - offsets[0])")
    }
    return (offsets[0], offsets[1], TensorDescription(name, type, shape))
  }

  /// Why a name is refused, read and written alike; nil where it is accepted.
  static func problem(ofName name: String) -> String? {
    if name.isEmpty { return "is empty" }
    if name == "__metadata__" { return "is the word for metadata" }
    if name.utf8.count > mostNameBytes { return "has more than \(mostNameBytes) bytes" }
    if name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return "has control characters" }
    if name.utf8.contains(UInt8(ascii: "/")) { return "has a '/'" }
    return nil
  }

  /// The first bytes of a file that holds these tensors one after the other: length, JSON, spaces
  /// up to a multiple of 8.
  static func bytes(
    for tensors: [TensorDescription], metadata: [(key: String, value: String)]
  ) -> [UInt8] {
    var header = JSONObject()
    if !metadata.isEmpty {
      header["__metadata__"] = .object(JSONObject(metadata.map { ($0.key, .string($0.value)) }))
    }
    var begin = 0
    for tensor in tensors {
      let problem = problem(ofName: tensor.name)
      require(problem == nil, "tensor \"\(tensor.name)\" \(problem ?? "")")
      require(
        tensor.shape.count <= mostDimensions && tensor.shape.allSatisfy { $0 >= 0 },
        "tensor \(tensor.name) has shape \(tensor.shape)")
      let isNew = header.append(
        tensor.name,
        [
          "dtype": .string(tensor.type.rawValue),
          "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
          "data_offsets": [.integer(Int64(begin)), .integer(Int64(begin + tensor.bytes))],
        ])
      require(isNew, "tensor \(tensor.name) stands twice in one file")
      begin += tensor.bytes
    }
    var text = Array(JSON.object(header).compact.utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    require(text.count <= mostBytes, "a header of \(text.count) bytes")
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
  }
}
