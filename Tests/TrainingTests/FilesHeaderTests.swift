// Headers of safetensors files: the format's edges are read, what is malformed is refused with a reason.

import Foundation
import Kernels
import Testing
import Training

@Suite struct FilesHeaderTests {
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
}
