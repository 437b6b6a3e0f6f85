// A JSON value as Apus reads and writes it: ordered objects, exact integers. Parsing: StrictJSON.

/// One JSON value.
public enum JSON: Sendable, Equatable {
  case null
  case boolean(Bool)
  /// Written without fraction and exponent, and within 64 bits.
  case integer(Int64)
  /// Any other number; finite.
  case number(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  public var asBoolean: Bool? { if case .boolean(let value) = self { value } else { nil } }

  /// An integer as written; `2.0` is none.
  public var asInteger: Int? {
    if case .integer(let value) = self { Int(exactly: value) } else { nil }
  }

  /// Any number.
  public var asNumber: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  public var asString: String? { if case .string(let value) = self { value } else { nil } }
  public var asArray: [JSON]? { if case .array(let value) = self { value } else { nil } }
  public var asObject: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// Member of an object; nil where there is none or where this is no object.
  public subscript(_ key: String) -> JSON? { asObject?[key] }

  /// What kind of value this is, for messages: "an integer".
  public var kind: String {
    switch self {
    case .null: "null"
    case .boolean: "a boolean"
    case .integer: "an integer"
    case .number: "a number with a fraction or exponent"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(JSONObject(elements))
  }
}

/// Members in the order in which they were written, each key once.
public struct JSONObject: Sendable, Equatable, Sequence {
  /// Compared by bytes: Swift's own string equality takes é and e + accent for the same.
  private struct Key: Hashable {
    let text: String

    static func == (a: Key, b: Key) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  private var keys: [Key] = []
  private var values: [JSON] = []
  private var places: [Key: Int] = [:]

  public init() {}

  public init(_ members: [(String, JSON)]) {
    for (key, value) in members { self[key] = value }
  }

  public var count: Int { keys.count }

  /// Setting a key anew keeps its place; setting nil is not for removal and does nothing.
  public subscript(_ key: String) -> JSON? {
    get { places[Key(text: key)].map { values[$0] } }
    set {
      guard let newValue else { return }
      if let place = places[Key(text: key)] {
        values[place] = newValue
      } else {
        _ = append(key, newValue)
      }
    }
  }

  /// False, and nothing changed, when the key is there already.
  mutating func append(_ key: String, _ value: JSON) -> Bool {
    guard places.updateValue(keys.count, forKey: Key(text: key)) == nil else { return false }
    keys.append(Key(text: key))
    values.append(value)
    return true
  }

  public var names: [String] { keys.map(\.text) }

  public func makeIterator() -> AnyIterator<(key: String, value: JSON)> {
    var next = 0
    return AnyIterator {
      guard next < keys.count else { return nil }
      defer { next += 1 }
      return (keys[next].text, values[next])
    }
  }

  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.keys == b.keys && a.values == b.values
  }
}
