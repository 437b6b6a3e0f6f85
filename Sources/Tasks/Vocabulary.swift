// The tokens of a toy task by name: the words of its tokenizer.

import Kernels

/// Names of tokens in the order of their numbers: a word-level vocabulary for texts whose words white
/// space parts. Padding and end are two tokens, so that a model learns to stop. Not for other text: it
/// cannot split words.
public struct Vocabulary: Sendable, Hashable {
  /// Never in a prompt or an answer; fills what is left of a batch.
  public static let padding: Int32 = 0
  /// Ends an answer, and belongs to it.
  public static let end: Int32 = 1
  /// Opens every prompt: a word like others.
  public static let beginning: Int32 = 2
  /// What padding and end are called; no word of a text becomes them.
  public static let controlNames = ["<|pad|>", "<|endoftext|>"]
  /// The last name: what other words become. No task says it.
  public static let unknown = "<unk>"

  /// All names, one a token.
  public let names: [String]
  private let numbers: [String: Int32]

  /// Padding, end and beginning, then `words`; no name may stand twice or hold white space.
  init(words: [String]) {
    names = Self.controlNames + ["<bos>"] + words + [Self.unknown]
    numbers = Dictionary(
      names.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
    require(
      numbers.count == names.count && names.allSatisfy { !$0.contains(where: \.isWhitespace) },
      "names \(names)")
  }

  public var count: Int { names.count }

  /// The number of a name that is known to be there.
  func token(_ name: String) -> Int32 {
    guard let token = numbers[name] else { fatalError("no token \(name) among \(names)") }
    return token
  }

  /// The tokens of names parted by white space. Throws `UnknownTokenName`.
  public func tokens(of text: String) throws -> [Int32] {
    try text.split(whereSeparator: \.isWhitespace).map { word in
      guard let token = numbers[String(word)] else {
        throw UnknownTokenName(name: String(word), text: text, accepted: names)
      }
      return token
    }
  }

  /// Names parted by spaces: what people read, and what `tokens(of:)` reads back.
  public func text(of tokens: [Int32]) -> String {
    tokens.map { token in
      require(names.indices.contains(Int(token)), "token \(token) of \(count)")
      return names[Int(token)]
    }.joined(separator: " ")
  }
}

/// A word that names no token.
public struct UnknownTokenName: Error, CustomStringConvertible {
  public let name: String
  public let text: String
  public let accepted: [String]

  public var description: String {
    "\"\(name)\" in \"\(text)\" names no token; accepted: \(accepted.joined(separator: " "))"
  }
}
