// A stretch of a corpus's tokens.

/// Tokens in mapped memory, and how much text they spell. Cheap to copy.
public struct CorpusPart: Sendable {
  /// For messages: `corpora/kjv.txt, last tenth`.
  public let name: String
  private let file: TokenFile
  private let first: Int
  private let counts: StretchCounts
  private let endOfText: Int32?

  init(name: String, file: TokenFile, first: Int, counts: StretchCounts, endOfText: Int32?) {
    self.name = name
    self.file = file
    self.first = first
    self.counts = counts
    self.endOfText = endOfText
  }

  /// Tokens.
  public var count: Int { counts.tokens }
  /// Unicode scalars of the text, newlines too; tokens that join documents have none.
  public var characters: Int { counts.characters }
  /// Bytes of the text.
  public var bytes: Int { counts.bytes }

  /// Where the tokens are kept.
  public var tokenFile: String { file.path }

  /// Stands for the corpus, the tokenizer, and which part it is.
  public var fingerprint: String { "\(file.header.fingerprint)-\(first)-\(count)" }

  /// Stands for the corpus and the tokenizer.
  public var corpusFingerprint: String { file.header.fingerprint }

  /// `count` tokens from `start` on.
  public func window(at start: Int, count: Int) -> [Int32] {
    check(
      start >= 0 && count >= 0 && start + count <= self.count,
      "window of \(count) at \(start) in \(self.count) tokens")
    return file.tokens(first + start..<first + start + count)
  }

  /// The token that the first one is predicted from: the one before this part, or `<|endoftext|>`
  /// at the start of the corpus. Nil where there is neither.
  public var context: Int32? { first > 0 ? file.tokens(first - 1..<first)[0] : endOfText }
}
