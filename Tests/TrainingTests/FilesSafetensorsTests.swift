// Safetensors: what others wrote is read, what we wrote is read back, what is broken is refused.

import Foundation
import Kernels
import Testing
import Training

@Suite struct FilesSafetensorsTests {
  let scratch = ScratchFolder()

  @Test func `tensors of every type come back bit for bit`() throws {
    let path = scratch.path + "/all.safetensors"
    let described = ElementType.allCases.enumerated().flatMap { index, type in
      [
        TensorDescription("matrix.\(type.rawValue)", type, [index + 1, 3]),
        TensorDescription("scalar.\(type.rawValue)", type, []),
        TensorDescription("empty.\(type.rawValue)", type, [2, 0, 5]),
      ]
    }
    func bytes(_ tensor: TensorDescription) -> [UInt8] {
      (0..<tensor.bytes).map { UInt8(truncatingIfNeeded: $0 * 37 + tensor.name.utf8.count) }
    }
    let writer = try SafetensorsWriter(path, tensors: described, metadata: [("format", "pt")])
    for tensor in described {
      try bytes(tensor).withUnsafeBytes { try writer.write(tensor.name, $0) }
    }
    let entry = try writer.finish()
    #expect(entry.bytes == bytesOfFile(path).count)
    #expect(entry.sha256 == (try Digest.sha256(file: path)))
    #expect(bytesOfFile(path)[0] % 8 == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["all.safetensors"])

    let source = try TensorSource(file: path)
    #expect(source.tensors == described)
    #expect(source.files[0].header.metadata.map(\.value) == ["pt"])
    for tensor in described {
      var read = [UInt8](repeating: 0, count: tensor.bytes)
      try read.withUnsafeMutableBytes { try source.read(tensor.name, into: $0) }
      #expect(read == bytes(tensor), "\(tensor.name)")
    }
  }

  @Test func `wider elements come first when a whole file is written at once`() throws {
    let path = scratch.path + "/order.safetensors"
    let memory = [UInt8](repeating: 1, count: 64)
    try memory.withUnsafeBytes { memory in
      try SafetensorsWriter.write(
        path,
        [
          (TensorDescription("a", .float32, [3]), UnsafeRawBufferPointer(rebasing: memory[..<12])),
          (TensorDescription("b", .uint8, [5]), UnsafeRawBufferPointer(rebasing: memory[..<5])),
          (TensorDescription("c", .float64, [2]), UnsafeRawBufferPointer(rebasing: memory[..<16])),
          (TensorDescription("d", .float32, [1]), UnsafeRawBufferPointer(rebasing: memory[..<4])),
        ])
    }
    #expect(try TensorSource(file: path).names == ["c", "a", "d", "b"])
  }

  @Test func `half formats widen to the values that IEEE 754 gives their bits`() throws {
    let halves: [(UInt16, Double)] = [
      (0x0000, 0), (0x3C00, 1), (0xC000, -2), (0x3555, 0.333251953125), (0x7BFF, 65504),
      (0x0400, 0x1p-14), (0x03FF, 1023 * 0x1p-24), (0x0001, 0x1p-24), (0x8001, -0x1p-24),
      (0x7C00, .infinity), (0xFC00, -.infinity),
    ]
    let brains: [(UInt16, Double)] = [
      (0x3F80, 1), (0xC000, -2), (0x7F7F, 0x1.FEp127), (0x0080, 0x1p-126), (0x0001, 0x1p-133),
      (0x7F80, .infinity),
    ]
    for (type, table) in [(ElementType.float16, halves), (.bfloat16, brains)] {
      let path = scratch.path + "/\(type.rawValue)"
      let bits = table.map(\.0)
      try bits.withUnsafeBytes {
        try SafetensorsWriter.write(path, [(TensorDescription("x", type, [table.count]), $0)])
      }
      let source = try TensorSource(file: path)
      #expect(try source.doubles("x") == table.map(\.1))
      #expect(try source.floats("x") == table.map { Float($0.1) })
    }
  }

  @Test func `every half survives the way through Float`() throws {
    let path = scratch.path + "/halves"
    let bits = (UInt16.min...UInt16.max).map { $0 }
    try bits.withUnsafeBytes {
      try SafetensorsWriter.write(path, [(TensorDescription("x", .float16, [bits.count]), $0)])
    }
    let values = try TensorSource(file: path).floats("x")
    for (bits, value) in zip(bits, values) {
      let fraction = Double(bits & 0x3FF)
      let exponent = Int(bits >> 10 & 31)
      let sign = bits >> 15 == 0 ? 1.0 : -1.0
      let truth =
        exponent == 31
        ? (fraction == 0 ? sign * .infinity : .nan)
        : exponent == 0
          ? sign * fraction * 0x1p-24
          : sign * (1 + fraction / 1024) * pow(2, Double(exponent - 15))
      #expect(truth.isNaN ? value.isNaN : Double(value) == truth, "\(bits)")
      #expect(value.isNaN || value.sign == (bits >> 15 == 0 ? .plus : .minus))
    }
  }

  @Test func `a range is read without the rest, in either precision`() throws {
    let path = scratch.path + "/range"
    let values = (0..<200_000).map { Double($0) + 0.25 }
    try values.withUnsafeBytes {
      try SafetensorsWriter.write(path, [(TensorDescription("x", .float64, [1000, 200]), $0)])
    }
    let source = try TensorSource(file: path)
    var floats = [Float](repeating: 0, count: 70_000)
    try floats.withUnsafeMutableBytes { try source.read("x", from: 1234, into: $0, as: .float32) }
    #expect(floats == values[1234..<71_234].map { Float($0) })
    var doubles = [Double](repeating: 0, count: 3)
    try doubles.withUnsafeMutableBytes {
      try source.read("x", from: 199_997, into: $0, as: .float64)
    }
    #expect(doubles == Array(values.suffix(3)))
  }

  @Test func `a tensor of another name, shape or type is refused by name`() throws {
    let path = scratch.path + "/wrong"
    let numbers: [Int64] = [1, -7, 5_000_000_000]
    try numbers.withUnsafeBytes { numbers in
      try SafetensorsWriter.write(
        path,
        [
          (TensorDescription("ids", .int64, [3]), numbers),
          (TensorDescription("x", .float64, [3]), numbers),
        ])
    }
    let source = try TensorSource(file: path)
    #expect(try source.integers("ids") == [1, -7, 5_000_000_000])
    var room = [Float](repeating: 0, count: 3)
    let said = room.withUnsafeMutableBytes { room in
      [
        errorText { try source.read("y", shape: [3], into: room, as: .float32) },
        errorText { try source.read("x", shape: [3, 1], into: room, as: .float32) },
        errorText { try source.read("ids", shape: [3], into: room, as: .float32) },
        errorText { _ = try source.integers("x") },
        errorText { _ = try source.integers("ids", as: Int32.self) },
      ]
    }
    #expect(said[0].contains("no tensor \"y\""), "\(said)")
    #expect(said[1].contains("has shape [3]; [3, 1] is wanted"), "\(said)")
    #expect(said[2].contains("\"ids\" is I64"), "\(said)")
    #expect(said[3].contains("\"x\" is F64"), "\(said)")
    #expect(said[4].contains("5000000000 at element 2"), "\(said)")
    #expect(said.allSatisfy { $0.contains(path) })
  }

  @Test func `shards are read as one, and an index that lies is refused`() throws {
    func shard(_ name: String, _ tensors: [String]) throws {
      let values: [Float] = [1, 2]
      try values.withUnsafeBytes { values in
        try SafetensorsWriter.write(
          "\(scratch.path)/\(name)",
          tensors.map { (TensorDescription($0, .float32, [2]), values) })
      }
    }
    func index(_ map: String) {
      _ = scratch.file("model.safetensors.index.json", Array("{\"weight_map\": \(map)}".utf8))
    }
    try shard("one.safetensors", ["a", "b"])
    try shard("two.safetensors", ["c"])
    let one = "one.safetensors"
    let two = "two.safetensors"
    index("{\"a\": \"\(one)\", \"b\": \"\(one)\", \"c\": \"\(two)\"}")
    let source = try TensorSource(folder: scratch.path)
    #expect(source.names == ["a", "b", "c"])
    #expect(try source.floats("c") == [1, 2])
    for (map, why) in [
      ("{\"a\": \"\(one)\", \"c\": \"\(two)\"}", "does not name tensor \"b\""),
      ("{\"a\": \"\(two)\", \"b\": \"\(one)\", \"c\": \"\(two)\"}", "\"a\" is not in"),
      ("{\"a\": \"\(one)\", \"b\": \"\(one)\", \"d\": \"\(one)\"}", "\"d\" is not in"),
      ("{\"a\": \"../\(one)\"}", "a plain file name is accepted"),
      ("{\"a\": 1}", "a plain file name is accepted"),
      ("{\"a\": \"three.safetensors\"}", "No such file"),
      ("[]", "weight_map"), ("{\"a\": \"\(one)\", \"a\": \"\(one)\"}", "stands twice"),
    ] {
      index(map)
      #expect(errorText { _ = try TensorSource(folder: scratch.path) }.contains(why), "\(map)")
    }
    try shard("model.safetensors", ["a"])
    #expect(errorText { _ = try TensorSource(folder: scratch.path) }.contains("keep one"))
  }
}
