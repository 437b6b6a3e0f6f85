// The classes of characters that pre-tokenisation patterns tell apart.

/// What `\p{L}`, `\p{N}`, `\s` and `[\r\n]` say of a character.
enum CharacterClass: UInt8 {
  case letter, number, newline, space, other

  var isWhitespace: Bool { self == .space || self == .newline }
}

/// Classes by code point: a table for the first 65,536, computed for the rest.
///
/// Categories are those of Unicode 16, which the `tokenizers` library has, whatever the standard
/// library's version: a text's tokens must not change with the compiler.
final class CharacterClasses: Sendable {
  static let shared = CharacterClasses()

  private let table: [CharacterClass]

  private init() {
    table = (0..<0x1_0000).map { code in
      Unicode.Scalar(UInt32(code)).map(Self.computed) ?? .other
    }
  }

  @inline(__always)
  subscript(code: UInt32) -> CharacterClass {
    if code < 0x1_0000 { return table[Int(code)] }
    return Unicode.Scalar(code).map(Self.computed) ?? .other
  }

  package static func computed(_ scalar: Unicode.Scalar) -> CharacterClass {
    if scalar == "\n" || scalar == "\r" { return .newline }
    let properties = scalar.properties
    if properties.isWhitespace { return .space }
    guard let age = properties.age, age.major <= 16 else { return .other }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return .other
    }
  }
}
