// A strict reader of JSON (RFC 8259): what is ambiguous or sloppy is refused.

/// A parsed document. Objects keep their order; a name stands once in each.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([(name: String, value: JSONValue)])

  /// Parses a whole text. `source` names it in errors.
  package init(parsing bytes: [UInt8], source: String) throws {
    var parser = JSONParser(bytes, source: source)
    self = try parser.document()
  }

  package subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  package var asString: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  package var asInteger: Int? {
    guard case .integer(let number) = self else { return nil }
    return number
  }

  package var asBool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  package var asArray: [JSONValue]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }

  package var asObject: [(name: String, value: JSONValue)]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  /// What kind of value it is, for error messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  package static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    default: false
    }
  }
}

/// Writes a string as JSON.
func appendJSON(_ text: String, to output: inout [UInt8]) {
  let digits = Array("0123456789abcdef".utf8)
  output.append(UInt8(ascii: "\""))
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), byte]
    case 0x0a: output += Array(#"\n"#.utf8)
    case 0..<0x20:
      output += Array(#"\u00"#.utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    default: output.append(byte)
    }
  }
  output.append(UInt8(ascii: "\""))
}
