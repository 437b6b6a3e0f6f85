// One component of tokenizer.json, and the words in which it is refused.

/// A value in the file with its path, `model.vocab`.
struct TokenizerComponent {
  let value: JSONValue
  let source: String
  let path: String

  init(_ value: JSONValue, _ source: String, _ path: String) {
    self.value = value
    self.source = source
    self.path = path
  }

  var isNull: Bool { value == .null }
  var type: String? { value["type"]?.asString }
  subscript(name: String) -> JSONValue? { value[name] }

  /// A member; null where it is left out.
  func child(_ name: String) -> TokenizerComponent {
    TokenizerComponent(value[name] ?? .null, source, path.isEmpty ? name : "\(path).\(name)")
  }

  /// The elements of this array.
  func elements() throws -> [TokenizerComponent] {
    guard let elements = value.asArray else {
      throw error("is \(value.kind); accepted: an array")
    }
    return elements.enumerated().map {
      TokenizerComponent($0.element, source, "\(path)[\($0.offset)]")
    }
  }

  func children(_ name: String) throws -> [TokenizerComponent] { try child(name).elements() }

  /// Refuses any type but these.
  func requireType(_ accepted: [String], orNull: Bool = false) throws {
    if let type, accepted.contains(type) { return }
    let found = type.map { "the type \"\($0)\"" } ?? value.kind
    throw error(
      "\(found) is not supported; accepted: " + accepted.joined(separator: ", ")
        + (orNull ? " or null" : ""))
  }

  /// Refuses members with other names: what they mean would be lost.
  func allow(_ names: [String]) throws {
    guard let members = value.asObject else { throw error("is \(value.kind); accepted: an object") }
    if let unknown = members.first(where: { !names.contains($0.name) }) {
      throw error(
        "\"\(unknown.name)\" is not supported; accepted: " + names.joined(separator: ", "))
    }
  }

  /// Refuses a member with another value; a missing one counts as null.
  func require(_ name: String, isOneOf accepted: [JSONValue]) throws {
    let found = value[name] ?? .null
    guard !accepted.contains(found) else { return }
    let words = accepted.map(Self.words).joined(separator: " or ")
    throw child(name).error("\(Self.words(found)) is not supported; accepted: \(words)")
  }

  /// A member that is true or false.
  func flag(_ name: String, default standard: Bool) throws -> Bool {
    guard let found = value[name], found != .null else { return standard }
    guard let flag = found.asBool else {
      throw child(name).error("is \(found.kind); accepted: true or false")
    }
    return flag
  }

  func error(_ problem: String) -> TextError {
    TextError(path.isEmpty ? source : "\(source), \(path)", problem)
  }

  private static func words(_ value: JSONValue) -> String {
    switch value {
    case .bool(let flag): "\(flag)"
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .string(let text): "\"\(text)\""
    default: value.kind
    }
  }
}
