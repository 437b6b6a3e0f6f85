// What a tokenizer is: its entries, merges, pattern and options. Made once, never changed.

/// How words become tokens.
enum Spelling: Sendable {
  /// Bytes are merged.
  case merges(Merges)
  /// A word is an entry, or else this one.
  case words(unknown: Int32)

  var isOfWords: Bool { if case .words = self { true } else { false } }
}

/// The parts of a tokenizer: of byte-level byte pairs, or of whole words.
public final class TokenizerModel: Sendable {
  let pattern: WordPattern
  /// Whether text is brought into normalisation form C first.
  let normalizes: Bool
  /// Whether text that does not start with a space gets one.
  let addsPrefixSpace: Bool
  /// Whether a word that is an entry is taken as such, whatever merges would make of it; words without
  /// merges always are.
  let ignoresMerges: Bool
  /// The bytes of each id; nil where there is no such entry.
  let entries: [[UInt8]?]
  let spelling: Spelling
  let addedTokens: [AddedToken]
  let givenTokens: AddedTokenMatcher
  let normalizedTokens: AddedTokenMatcher
  private let wholeWords: [[UInt8]: Int32]

  struct Options: Equatable, Sendable {
    var pattern = WordPattern.gpt2
    var normalizes = false
    var addsPrefixSpace = false
    var ignoresMerges = false
  }

  var options: Options {
    Options(
      pattern: pattern, normalizes: normalizes, addsPrefixSpace: addsPrefixSpace,
      ignoresMerges: ignoresMerges)
  }

  /// `entries` holds the added tokens too.
  init(_ options: Options, entries: [[UInt8]?], spelling: Spelling, addedTokens: [AddedToken]) {
    pattern = options.pattern
    normalizes = options.normalizes
    addsPrefixSpace = options.addsPrefixSpace
    ignoresMerges = options.ignoresMerges
    self.entries = entries
    self.spelling = spelling
    self.addedTokens = addedTokens.sorted { $0.id < $1.id }
    givenTokens = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
    normalizedTokens = AddedTokenMatcher(
      addedTokens.filter(\.isNormalized), normalizes: options.normalizes)
    var wholeWords: [[UInt8]: Int32] = [:]
    if options.ignoresMerges || spelling.isOfWords {
      let added = Set(addedTokens.map(\.id))
      for (id, bytes) in entries.enumerated() where !added.contains(Int32(id)) {
        if let bytes { wholeWords[bytes] = Int32(id) }
      }
    }
    self.wholeWords = wholeWords
  }

  /// The entry that a word is as it stands, where merges are ignored for such or there are none.
  @inline(__always)
  func wholeWord(_ word: Span<UInt8>) -> Int32? {
    guard !wholeWords.isEmpty else { return nil }
    return wholeWords[word.indices.map { word[$0] }]
  }

  /// What stands between the texts of two tokens.
  var separator: [UInt8] { spelling.isOfWords ? [UInt8(ascii: " ")] : [] }
}
