// A safetensors file taken apart and put together by plain means, to make wrong ones.

import Foundation

/// Tensors in the order of their bytes.
struct TensorFile {
  struct Tensor {
    var name: String
    var type: String
    var shape: [Int]
    var bytes: [UInt8]
  }

  var tensors: [Tensor] = []

  init() {}

  init(_ file: [UInt8]) throws {
    let length = (0..<8).reduce(0) { $0 | Int(file[$1]) << ($1 * 8) }
    let header = try JSONSerialization.jsonObject(with: Data(file[8..<8 + length]))
    for case (let name, let fields as [String: Any]) in header as? [String: Any] ?? [:]
    where name != "__metadata__" {
      guard let type = fields["dtype"] as? String, let shape = fields["shape"] as? [Int],
        let range = fields["data_offsets"] as? [Int]
      else { continue }
      tensors.append(
        Tensor(
          name: name, type: type, shape: shape,
          bytes: Array(file[8 + length + range[0]..<8 + length + range[1]])))
    }
    tensors.sort { $0.name < $1.name }
  }

  mutating func add(_ name: String, _ shape: [Int], _ values: [Int64]) {
    let bytes = values.flatMap { value in
      (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
    tensors.append(Tensor(name: name, type: "I64", shape: shape, bytes: bytes))
  }

  var bytes: [UInt8] {
    var start = 0
    let fields = tensors.map { tensor in
      defer { start += tensor.bytes.count }
      return #""\#(tensor.name)":{"dtype":"\#(tensor.type)","shape":\#(tensor.shape),"#
        + #""data_offsets":[\#(start),\#(start + tensor.bytes.count)]}"#
    }
    let header = Array("{\(fields.joined(separator: ","))}".utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> ($0 * 8)) } + header
      + tensors.flatMap(\.bytes)
  }
}
