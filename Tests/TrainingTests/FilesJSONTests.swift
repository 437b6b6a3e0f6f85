// Strict JSON against RFC 8259's own words, and the writer against the parser.

import Testing
import Training

@Suite struct FilesJSONTests {
  func parse(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8), source: "text") }

  @Test func `values read as what they are`() throws {
    #expect(
      try parse(" [1, -0, 2.0, 1e3, -5E-1, true, false, null] ") == [
        1, .number(-0.0), 2.0, 1000.0, -0.5, true, false, .null,
      ])
    #expect(try parse("9223372036854775807") == .integer(.max))
    #expect(try parse("-9223372036854775808") == .integer(.min))
    #expect(try parse("9223372036854775808") == .number(0x1p63))
    #expect(try parse("2.0").asInteger == nil)
    #expect(try parse("2").asNumber == 2)
    #expect(
      try parse(#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#)
        == .string("a\"\\/\u{8}\u{C}\n\r\té😀é"))
    let object = try parse(#"{"z": 1, "a": {"b": [ ]}, "": {}}"#)
    #expect(object.asObject?.names == ["z", "a", ""])
    #expect(object["a"]?["b"] == [])
  }

  @Test func `keys that only look alike are two keys`() throws {
    let object = try parse("{\"e\u{301}\": 1, \"\u{E9}\": 2}")
    #expect(object["e\u{301}"] == 1)
    #expect(object["\u{E9}"] == 2)
  }

  @Test(arguments: [
    ("", "1:1", "end of the text"), (" ", "1:2", "end of the text"),
    ("{", "1:2", "key should start"), ("[1", "1:3", "',' or ']'"),
    ("[1,]", "1:4", "value should start"), ("{\"a\":1,}", "1:8", "key should start"),
    ("{\"a\" 1}", "1:6", "':' should follow"), ("{\"a\":1 \"b\":2}", "1:8", "',' or '}'"),
    ("{a:1}", "1:2", "key should start"), ("{'a':1}", "1:2", "key should start"),
    ("{\"a\":1,\n \"b\":2, \"a\":3}", "2:9", "\"a\" stands twice"),
    ("{\"a\":1, \"\\u0061\":3}", "1:9", "\"a\" stands twice"),
    ("[1] 2", "1:5", "after the end"), ("01", "1:1", "leading zero"),
    ("-01", "1:1", "leading zero"), ("+1", "1:1", "'+'"), (".5", "1:1", "'.'"),
    ("1.", "1:3", "digit"), ("1e", "1:3", "digit"), ("1e+", "1:4", "digit"), ("-", "1:2", "digit"),
    ("0x10", "1:2", "after the end"), ("1e400", "1:1", "beyond what a Double holds"),
    ("NaN", "1:1", "'N'"), ("Infinity", "1:1", "'I'"), ("-Infinity", "1:2", "digit"),
    ("nul", "1:1", "'n'"), ("True", "1:1", "'T'"), ("\"abc", "1:1", "without end"),
    ("\"a\nb\"", "1:3", "control character"), ("\"\u{0}\"", "1:2", "control character"),
    (#""\x""#, "1:2", "escape"), (#""\u12G4""#, "1:6", "hexadecimal"),
    (#""\ud800""#, "1:2", "lone surrogate"), (#""\udc00""#, "1:2", "lone surrogate"),
    (#""\ud800A""#, "1:2", "lone surrogate"), (#""\ud800\n""#, "1:2", "lone surrogate"),
    ("\u{FEFF}1", "1:1", "byte order mark"), ("// a\n1", "1:1", "'/'"),
    ("[1,\n2,\n\n  x]", "4:3", "'x'"), ("\u{A0}1", "1:1", "byte 0xc2"),
  ])
  func `a broken text is refused with its place`(text: String, place: String, why: String) {
    let said = errorText { _ = try parse(text) }
    #expect(said.hasPrefix("text:\(place): "), "\(said)")
    #expect(said.contains(why), "\(said)")
  }

  @Test(arguments: [
    [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
    [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xC3, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22],
  ])
  func `a string that is no UTF-8 is refused`(bytes: [Int]) {
    let said = errorText { _ = try JSON(parsing: bytes.map { UInt8($0) }, source: "text") }
    #expect(said.contains("UTF-8"), "\(said)")
  }

  @Test func `depth is bounded, and a long flat text is not deep`() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(try parse(nested(64)).kind == "an array")
    #expect(errorText { _ = try parse(nested(66)) }.contains("levels deep"))
    #expect(
      errorText { _ = try parse(String(repeating: "[{\"a\":", count: 100_000)) }
        .contains("levels deep"))
    let flat = "[" + Array(repeating: "{}", count: 100_000).joined(separator: ",") + "]"
    #expect(try parse(flat).asArray?.count == 100_000)
  }

  @Test func `what is written reads back the same, in the same order`() throws {
    let value: JSON = [
      "zebra": [
        1, -2, 0.1, 1e-5, 1e300, .number(-0.0), .integer(.min), .number(.leastNonzeroMagnitude),
      ],
      "apple": ["text \"quoted\" \\ / \n\t\u{1}é😀", true, .null],
      "nested": ["empty": [:], "none": [], "deep": [[1, 2], [["a": 1]]]],
    ]
    for text in [value.compact, value.pretty] {
      #expect(try parse(text) == value)
      #expect(try parse(text).compact == value.compact)
    }
    #expect(JSON.object(JSONObject([("b", 1), ("a", [1, 2])])).compact == #"{"b":1,"a":[1,2]}"#)
    #expect(
      JSON.object(JSONObject([("b", 1), ("a", [1, 2])])).pretty
        == "{\n  \"b\": 1,\n  \"a\": [1, 2]\n}\n")
  }

  @Test func `no damage to a text makes the parser trap`() throws {
    let text = Array(#"{"a": [1, 2.5e-3, "x\u00e9\ud83d\ude00", {"b": null}], "c": true}"#.utf8)
    var refused = 0
    for place in text.indices {
      #expect(throws: JSONError.self) { _ = try JSON(parsing: Array(text[..<place]), source: "") }
      for bit in 0..<8 {
        var broken = text
        broken[place] ^= 1 << bit
        do { _ = try JSON(parsing: broken, source: "") } catch is JSONError { refused += 1 }
      }
    }
    #expect(refused > text.count)
  }
}
