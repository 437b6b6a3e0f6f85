// The value of one setting: its kind, how it is read from text, how it is written.

import Foundation
import Yams

/// A value with its kind, so that text can be read as the same kind and nothing else.
public enum SettingValue: Sendable, Equatable {
  case whole(Int)
  case number(Double)
  case flag(Bool)
  case text(String)
  case choice(String, among: [String])
  case wholes([Int])

  /// The value of a property; nil if its type is none of these.
  init?(_ property: Any) {
    switch property {
    case let value as Int: self = .whole(value)
    case let value as Double: self = .number(value)
    case let value as Bool: self = .flag(value)
    case let value as String: self = .text(value)
    case let value as [Int]: self = .wholes(value)
    case let value as any RawRepresentable<String> & CaseIterable: self = Self.choice(of: value)
    default: return nil
    }
  }

  private static func choice<Choice: RawRepresentable<String> & CaseIterable>(
    of value: Choice
  ) -> SettingValue {
    .choice(value.rawValue, among: Choice.allCases.map(\.rawValue))
  }

  /// What a user may write for a value of this kind.
  var accepted: String {
    switch self {
    case .whole: "a whole number"
    case .number: "a number"
    case .flag: "true or false"
    case .text: "text"
    case .choice(_, let choices): choices.joined(separator: ", ")
    case .wholes: "a list of whole numbers such as [0, 2]"
    }
  }

  // MARK: Reading

  /// A value of this kind from one plain word; nil if the word is of another kind.
  func reading(_ word: String) -> SettingValue? {
    switch self {
    case .whole: Self.whole(in: word).map(SettingValue.whole)
    case .number: Self.number(in: word).map(SettingValue.number)
    case .flag: word == "true" ? .flag(true) : word == "false" ? .flag(false) : nil
    case .text: .text(word)
    case .choice(_, let choices):
      choices.contains(word) ? .choice(word, among: choices) : nil
    case .wholes: nil
    }
  }

  /// Digits with an optional sign; single underscores may part digits, as in 10_000.
  private static func whole(in word: String) -> Int? {
    Int(withoutSeparators(word))
  }

  /// A finite decimal number; Swift's own reader would take `nan`, `inf` and hexadecimal too.
  private static func number(in word: String) -> Double? {
    let allowed = "0123456789+-.eE_"
    guard word.allSatisfy(allowed.contains), let value = Double(withoutSeparators(word)),
      value.isFinite
    else { return nil }
    return value
  }

  private static func withoutSeparators(_ word: String) -> String {
    let parts = word.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return word }
    let partsDigits =
      parts.dropFirst().allSatisfy { $0.first?.isNumber == true }
      && parts.dropLast().allSatisfy { $0.last?.isNumber == true }
    return partsDigits ? parts.joined() : word
  }

  /// A value of this kind from a YAML node; nil if the node holds something else.
  func reading(_ node: Node) -> SettingValue? {
    switch (self, node) {
    case (.wholes, .sequence(let elements)):
      var values: [Int] = []
      for element in elements {
        guard case .scalar(let scalar) = element, scalar.isPlain,
          let value = Self.whole(in: scalar.string)
        else { return nil }
        values.append(value)
      }
      return .wholes(values)
    case (.text, .scalar(let scalar)), (.choice, .scalar(let scalar)):
      let isNull = scalar.isPlain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
      return isNull ? nil : reading(scalar.string)
    case (_, .scalar(let scalar)):
      return scalar.isPlain ? reading(scalar.string) : nil
    default:
      return nil
    }
  }

  // MARK: Writing

  /// The value as YAML; reads back equal.
  public var yaml: String {
    switch self {
    case .whole(let value): "\(value)"
    case .number(let value): "\(value)"
    case .flag(let value): "\(value)"
    case .text(let value): Self.isPlain(value) ? value : Self.quoted(value)
    case .choice(let value, _): value
    case .wholes(let values): "[" + values.map(String.init).joined(separator: ", ") + "]"
    }
  }

  /// Whether text needs no quotes: a word or path that YAML cannot take for anything else.
  private static func isPlain(_ text: String) -> Bool {
    guard let first = text.first, first.isASCII, first.isLetter || first == "/" else {
      return false
    }
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
    return !reserved.contains(text.lowercased())
      && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }
  }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      case _ where (0x20..<0x7f).contains(scalar.value), _ where scalar.properties.isAlphabetic:
        result.unicodeScalars.append(scalar)
      default:
        result += String(format: "\\U%08X", scalar.value)
      }
    }
    return result + "\""
  }

  /// The value as a node that a `YAMLDecoder` decodes.
  var node: Node {
    switch self {
    case .whole(let value): Node("\(value)", Tag(.int))
    case .number(let value): Node("\(value)", Tag(.float))
    case .flag(let value): Node("\(value)", Tag(.bool))
    case .text(let value), .choice(let value, _): Node(value, Tag(.str), .doubleQuoted)
    case .wholes(let values): Node(values.map { Node("\($0)", Tag(.int)) })
    }
  }
}

extension Node.Scalar {
  /// Whether the word stands without quotes, so that it may be a number or a flag.
  fileprivate var isPlain: Bool { style == .plain || style == .any }
}
