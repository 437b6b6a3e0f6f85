// Learns a tokenizer from text: byte-pair encoding over words (Sennrich et al. 2016).

/// What a new tokenizer shall be.
public struct TokenizerSettings: Sendable, Equatable {
  /// Entries in all: special tokens, 256 bytes, and merges.
  public var vocabularySize: Int
  public var pattern = WordPattern.gpt2
  /// Whether text is brought into normalisation form C first.
  public var normalizes = false
  /// They take the first ids, in this order.
  public var specialTokens = ["<|endoftext|>"]
  /// Pairs that are seen less often are not merged.
  public var minimumFrequency = 2

  public init(vocabularySize: Int) { self.vocabularySize = vocabularySize }
}

/// Takes texts, then makes a tokenizer. The same texts give the same tokenizer on every machine:
/// among pairs that are equally frequent the lowest is merged first.
public struct TokenizerTraining: Sendable {
  private let settings: TokenizerSettings
  private var words: WordStream<WordCounts>

  /// Throws when the vocabulary cannot hold special tokens and bytes.
  public init(_ settings: TokenizerSettings) throws {
    let tokens = settings.specialTokens
    let least = tokens.count + 256
    guard settings.vocabularySize >= least, settings.vocabularySize <= 1 << 24 else {
      throw TextError(
        "vocabulary \(settings.vocabularySize)",
        "accepted: \(least) (256 bytes + \(tokens.count) special) to \(1 << 24)")
    }
    guard Set(tokens.map { Array($0.utf8) }).count == tokens.count,
      tokens.allSatisfy({ $0.unicodeScalars.count > 1 })
    else {
      throw TextError(
        "special tokens \(tokens)", "accepted: different strings of two or more characters")
    }
    self.settings = settings
    words = WordStream(
      WordRules(
        pattern: settings.pattern, normalizes: settings.normalizes, addsPrefixSpace: false),
      sink: WordCounts())
  }

  /// Takes the next bytes of a text, which are valid UTF-8.
  public mutating func append(_ bytes: Span<UInt8>) { words.append(bytes) }

  /// Ends a text; another may follow.
  public mutating func finishText() { words.finish() }

  public mutating func append(text: String) {
    let bytes = Array(text.utf8)
    append(bytes.span)
    finishText()
  }

  /// The tokenizer learnt from the texts so far. It has fewer entries than asked for where no pair
  /// is left that is frequent enough.
  public func tokenizer() -> Tokenizer {
    var entries = settings.specialTokens.map { Array($0.utf8) }
    var byteTokens = [Int32](repeating: 0, count: 256)
    for byte in ByteAlphabet.bytesByCharacter {
      byteTokens[Int(byte)] = Int32(entries.count)
      entries.append([byte])
    }
    // Two ways to the same bytes lead to one entry.
    var ids: [[UInt8]: Int32] = [:]
    for (id, bytes) in entries.enumerated() { ids[bytes] = Int32(id) }
    var pairs = PairCounts(
      words: words.sink.words.map { $0.map { byteTokens[Int($0)] } }, counts: words.sink.counts)
    var rules: [MergeRule] = []
    while entries.count < settings.vocabularySize,
      let (left, right) = pairs.removeMostFrequent(minimum: settings.minimumFrequency)
    {
      let bytes = entries[Int(left)] + entries[Int(right)]
      let result = ids[bytes] ?? Int32(entries.count)
      if result == entries.count {
        ids[bytes] = result
        entries.append(bytes)
      }
      rules.append(MergeRule(left: left, right: right, result: result))
      pairs.merge(left, right, into: result)
    }
    var options = TokenizerModel.Options()
    options.pattern = settings.pattern
    options.normalizes = settings.normalizes
    let added = settings.specialTokens.enumerated().map {
      AddedToken(id: Int32($0.offset), content: $0.element)
    }
    return Tokenizer(
      TokenizerModel(
        options, entries: entries, spelling: .merges(Merges(rules: rules, byteTokens: byteTokens)),
        addedTokens: added))
  }
}
