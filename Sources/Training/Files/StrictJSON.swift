// JSON by the letter of RFC 8259 and no further: Foundation's readers disagree on duplicate keys.

/// Where a JSON text breaks the rules.
public struct JSONError: Error, CustomStringConvertible {
  /// File name or the like.
  public let source: String
  public let line: Int
  /// In bytes, from 1.
  public let column: Int
  public let problem: String

  public var description: String { "\(source):\(line):\(column): \(problem)" }
}

extension JSON {
  /// Parses one JSON text, with nothing but white space around it.
  ///
  /// Refused: duplicate keys, bytes that are no UTF-8, a byte order mark, lone surrogates, more
  /// than 64 levels, numbers beyond a Double's range, and all that RFC 8259 does not know.
  public init(parsing bytes: [UInt8], source: String) throws {
    var parser = JSONParser(bytes: bytes, source: source)
    self = try parser.document()
  }

  public init(file path: String) throws {
    try self.init(parsing: ReadableFile.contents(path), source: path)
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let source: String
  var position = 0

  static let deepest = 64

  init(bytes: [UInt8], source: String) {
    self.bytes = bytes
    self.source = source
  }

  mutating func document() throws -> JSON {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw failure("starts with a byte order mark") }
    skipSpace()
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw failure("\(shown) after the end of the value") }
    return value
  }

  private mutating func value(depth: Int) throws -> JSON {
    guard depth <= Self.deepest else { throw failure("more than \(Self.deepest) levels deep") }
    switch peek {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .boolean(true))
    case UInt8(ascii: "f"): return try word("false", .boolean(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"): return try number()
    default:
      guard isDigit else { throw failure("\(shown) where a value should start") }
      return try number()
    }
  }

  private mutating func object(depth: Int) throws -> JSON {
    position += 1
    var object = JSONObject()
    skipSpace()
    if take("}") { return .object(object) }
    while true {
      skipSpace()
      let start = position
      guard peek == UInt8(ascii: "\"") else { throw failure("\(shown) where a key should start") }
      let key = try string()
      skipSpace()
      guard take(":") else { throw failure("\(shown) where ':' should follow the key \"\(key)\"") }
      skipSpace()
      guard object.append(key, try value(depth: depth + 1)) else {
        throw failure("the key \"\(key)\" stands twice", at: start)
      }
      skipSpace()
      if take("}") { return .object(object) }
      guard take(",") else { throw failure("\(shown) where ',' or '}' should follow") }
    }
  }

  private mutating func array(depth: Int) throws -> JSON {
    position += 1
    var elements: [JSON] = []
    skipSpace()
    if take("]") { return .array(elements) }
    while true {
      skipSpace()
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return .array(elements) }
      guard take(",") else { throw failure("\(shown) where ',' or ']' should follow") }
    }
  }

  private mutating func word(_ word: String, _ value: JSON) throws -> JSON {
    guard bytes[position...].starts(with: word.utf8) else {
      throw failure("\(shown) where a value should start")
    }
    position += word.utf8.count
    return value
  }

  private mutating func number() throws -> JSON {
    let start = position
    let isNegative = take("-")
    if take("0") {
      guard !isDigit else { throw failure("a number with a leading zero", at: start) }
    } else {
      try digits()
    }
    var isInteger = true
    if take(".") {
      isInteger = false
      try digits()
    }
    if take("e") || take("E") {
      isInteger = false
      if !take("+") { _ = take("-") }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int64(text), !(isNegative && value == 0) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw failure("the number \(text.prefix(40)) is beyond what a Double holds", at: start)
    }
    return .number(value)
  }

  private mutating func digits() throws {
    guard isDigit else { throw failure("\(shown) where a digit should stand") }
    while isDigit { position += 1 }
  }

  private mutating func string() throws -> String {
    let start = position
    position += 1
    let first = position
    while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      position += 1
    }
    if peek == UInt8(ascii: "\"") {
      defer { position += 1 }
      return try text(bytes[first..<position], start)
    }
    var buffer = Array(bytes[first..<position])
    while let byte = peek, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw failure("the control character \(shown) inside a string") }
      position += 1
      if byte == UInt8(ascii: "\\") { try escape(into: &buffer) } else { buffer.append(byte) }
    }
    guard take("\"") else { throw failure("a string without end", at: start) }
    return try text(buffer[...], start)
  }

  private func text(_ slice: ArraySlice<UInt8>, _ start: Int) throws -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw failure("a string that is no UTF-8", at: start)
    }
    return text
  }

  private mutating func escape(into buffer: inout [UInt8]) throws {
    let start = position - 1
    let letter = peek
    if letter != nil { position += 1 }
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(letter!)
    case UInt8(ascii: "b"): buffer.append(0x08)
    case UInt8(ascii: "f"): buffer.append(0x0C)
    case UInt8(ascii: "n"): buffer.append(0x0A)
    case UInt8(ascii: "r"): buffer.append(0x0D)
    case UInt8(ascii: "t"): buffer.append(0x09)
    case UInt8(ascii: "u"):
      var code = try fourDigits()
      if 0xD800..<0xDC00 ~= code, take("\\"), take("u") {
        let low = try fourDigits()
        guard 0xDC00..<0xE000 ~= low else { throw failure("a lone surrogate", at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("a lone surrogate", at: start) }
      buffer.append(contentsOf: Array(UTF8.encode(scalar)!))
    default: throw failure("an escape that JSON does not know", at: start)
    }
  }

  private mutating func fourDigits() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("\(shown) where a hexadecimal digit should stand")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private var isDigit: Bool {
    peek.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ?? false
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  /// What stands at the position, for messages.
  private var shown: String {
    guard let byte = peek else { return "the end of the text" }
    guard 0x21...0x7E ~= byte else { return "byte 0x" + String(byte, radix: 16) }
    return "'\(Unicode.Scalar(byte))'"
  }

  private func failure(_ problem: String, at place: Int? = nil) -> JSONError {
    let before = bytes[..<min(place ?? position, bytes.count)]
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return JSONError(
      source: source, line: before.count { $0 == 0x0A } + 1, column: before.count - lineStart + 1,
      problem: problem)
  }
}
