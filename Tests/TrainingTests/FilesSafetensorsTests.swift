// Safetensors: what others wrote is read, what we wrote is read back, what is broken is refused.

import Foundation
import Kernels
import Testing
import Training

@Suite struct FilesSafetensorsTests {
  let scratch = ScratchFolder()

  /// A file of a header as text, and data.
  func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> String {
    let text = Array(header.utf8)
    let length = length ?? UInt64(text.count)
    let prefix = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
    return scratch.file(
      "\(UUID().uuidString).safetensors",
      prefix + text + [UInt8](repeating: 7, count: data))
  }

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

  static let malformed: [(header: String, data: Int, why: String)] = [
    ("", 0, "does not start with '{'"),
    ("[]", 0, "does not start with '{'"),
    (" {}", 0, "does not start with '{'"),
    ("\u{FEFF}{}", 0, "does not start with '{'"),
    ("{}\n", 0, "does not end with '}'"),
    ("{}x", 0, "does not end with '}'"),
    ("{}{}", 0, "after the end"),
    ("{", 0, "does not end"),
    ("{\"a\"}", 0, "':' should follow"),
    (#"{"a":1}"#, 0, "\"a\": is an integer"),
    (#"{"a":null}"#, 0, "\"a\": is null"),
    (#"{"a":{}}"#, 0, "dtype"),
    (#"{"a":{"dtype":"F32","shape":[1]}}"#, 4, "data_offsets"),
    (#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, 4, "shape"),
    (#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, 4, "dtype"),
    (#"{"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}}"#, 4, "dtype"),
    (#"{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}"#, 4, "\"f32\" is not supported"),
    (#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#, 4, "not supported"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}}"#, 4, "\"more\""),
    (#"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "stands twice"),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      8, "\"a\" stands twice"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      8, "\"a\" stands twice"
    ),
    (#"{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}"#, 4, "shape is no array"),
    (#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4, "shape holds 1.0"),
    (#"{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}"#, 4, "shape holds 1.0"),
    (#"{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}"#, 4, "shape holds"),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "shape holds -1"),
    (#"{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}"#, 4, "shape holds -1"),
    (#"{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}"#, 4, "shape holds true"),
    (
      #"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4,
      "9 dimensions"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0,
      "beyond what memory"
    ),
    (
      #"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, 0,
      "beyond what memory"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, 4,
      "shape holds"
    ),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4, "data_offsets [0]"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,2,4]}}"#, 4, "data_offsets [0, 2, 4]"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "data_offsets [4, 0]"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4, "data_offsets holds -4"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}}"#, 4, "data_offsets holds 4.0"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":{"0":4}}}"#, 4, "data_offsets is no array"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "needs 8 bytes"),
    (#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}}"#, 4, "needs 0 bytes"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "a hole"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "cut short"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, "something follows"),
    (#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, 0, "cut short"),
    ("{}", 1, "something follows"),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
      12, "an overlap"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
      8, "an overlap"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
      12, "a hole"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}}"#,
      4, "a hole"
    ),
    (#"{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "name is empty"),
    (#"{"a\u0000b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "control characters"),
    (#"{"../x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "has a '/'"),
    (#"{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "lone surrogate"),
    (
      "{\"" + String(repeating: "n", count: 2000)
        + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "1024 bytes"
    ),
    (#"{"__metadata__":1}"#, 0, "__metadata__ is an integer"),
    (#"{"__metadata__":null}"#, 0, "__metadata__ is null"),
    (#"{"__metadata__":{"a":1}}"#, 0, "__metadata__ \"a\" is an integer"),
    (#"{"__metadata__":{"a":"1","a":"2"}}"#, 0, "\"a\" stands twice"),
    (#"{"__metadata__":{},"__metadata__":{}}"#, 0, "stands twice"),
    ("{\"a\":" + String(repeating: "[", count: 5000) + "}", 0, "levels deep"),
    ("{\"a\":NaN}", 0, "value should start"),
  ]

  @Test(arguments: malformed)
  func `a malformed header is refused with a reason`(
    header: String, data: Int, why: String
  ) {
    let path = file(header, data: data)
    let said = errorText { _ = try SafetensorsFile(path: path) }
    #expect(said.hasPrefix(path), "\(said)")
    #expect(said.contains(why), "\(said)")
  }

  @Test(arguments: [
    (UInt64(3), "does not end"), (9, "cut short"), (33_554_433, "at most 33554432"),
    (1 << 40, "at most"), (.max, "at most"),
  ])
  func `a length that the header does not have is refused`(length: UInt64, why: String) {
    let said = errorText { _ = try SafetensorsFile(path: file("{   }", length: length)) }
    #expect(said.contains(why), "\(said)")
  }

  @Test func `files that are none are refused`() {
    for count in 0..<8 {
      let path = scratch.file("short", [UInt8](repeating: 0, count: count))
      #expect(errorText { _ = try SafetensorsFile(path: path) }.contains("has \(count) bytes"))
    }
    #expect(
      errorText { _ = try SafetensorsFile(path: scratch.path) }.contains("not a regular file"))
    #expect(errorText { _ = try SafetensorsFile(path: "/dev/zero") }.contains("not a regular file"))
    #expect(
      errorText { _ = try SafetensorsFile(path: scratch.path + "/none") }
        .contains("No such file or directory"))
    #expect(errorText { _ = try TensorSource(folder: scratch.path) }.contains("holds neither"))
  }

  @Test func `what the format allows at its edges is read`() throws {
    #expect(try SafetensorsFile(path: file("{}      ")).tensors == [])
    let empties =
      #"{"b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"#
      + #""a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},"#
      + #""c":{"dtype":"I8","shape":[3,0],"data_offsets":[4,4]}}"#
    let tensors = try SafetensorsFile(path: file(empties, data: 4)).tensors
    #expect(tensors.map(\.name) == ["b", "a", "c"])
    #expect(tensors.map(\.shape) == [[0], [], [3, 0]])
  }

  @Test func `a file cut short after it was opened is an error, not a signal`() throws {
    let path = file(#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, data: 16)
    let source = try TensorSource(file: path)
    truncate(path, 70)
    #expect(errorText { _ = try source.floats("a") }.contains("ends at byte 70"))
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

/// The safetensors files of the golden cases, wherever those are; none in a clone without them.
let goldenFiles: [String] = {
  let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let folder =
    ProcessInfo.processInfo.environment["APUS_GOLDENS"]
    ?? package.appending(path: "../shared/goldens").standardizedFileURL.path
  let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
  return names.filter { $0.hasSuffix(".safetensors") }.sorted().map { "\(folder)/\($0)" }
}()

@Suite struct FilesGoldenTests {
  @Test(.enabled(if: !goldenFiles.isEmpty), arguments: goldenFiles)
  func `what others wrote is read, and written again holds the same`(path: String) throws {
    let source = try TensorSource(file: path)
    #expect(source.tensors.count > 0)
    let scratch = ScratchFolder()
    let copy = scratch.path + "/copy.safetensors"
    let writer = try SafetensorsWriter(
      copy, tensors: source.tensors, metadata: source.files[0].header.metadata)
    for tensor in source.tensors {
      var bytes = [UInt8](repeating: 0, count: tensor.bytes)
      try bytes.withUnsafeMutableBytes { try source.read(tensor.name, into: $0) }
      try bytes.withUnsafeBytes { try writer.write(tensor.name, $0) }
      if tensor.type.isFloat {
        #expect(try source.doubles(tensor.name).allSatisfy(\.isFinite), "\(tensor.name)")
      } else {
        let integers = try source.integers(tensor.name)
        #expect(integers.allSatisfy { $0 >= -100 }, "\(tensor.name)")
      }
    }
    try writer.finish()
    let dataBytes = source.tensors.reduce(0) { $0 + $1.bytes }
    #expect(bytesOfFile(copy).suffix(dataBytes) == bytesOfFile(path).suffix(dataBytes))
  }
}
