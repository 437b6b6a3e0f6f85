// Encodes a text that arrives in pieces; the tokens do not depend on where it was cut.

/// The encoding of one text after another. Append bytes (valid UTF-8), then finish.
public struct TokenStream: Sendable {
  private var words: WordStream<WordEncoder>

  init(_ model: TokenizerModel, cache: WordCache, recognizesAddedTokens: Bool) {
    var rules = WordRules(
      pattern: model.pattern, normalizes: model.normalizes, addsPrefixSpace: model.addsPrefixSpace)
    if recognizesAddedTokens {
      rules.given = model.givenTokens
      rules.normalized = model.normalizedTokens
    }
    words = WordStream(rules, sink: WordEncoder(model: model, cache: cache))
  }

  /// Takes the next bytes of the text; appends tokens that are certain to `tokens`.
  public mutating func append(_ bytes: Span<UInt8>, to tokens: inout [Int32]) {
    words.append(bytes)
    words.sink.moveTokens(to: &tokens)
  }

  /// Ends the text: appends what is left of its tokens.
  public mutating func finish(to tokens: inout [Int32]) {
    words.finish()
    words.sink.moveTokens(to: &tokens)
  }

  /// The words met, for another stream of the same tokenizer.
  var cache: WordCache { words.sink.cache }
}

/// Turns words into tokens.
struct WordEncoder: WordSink {
  let model: TokenizerModel
  private(set) var cache: WordCache
  private var merger = WordMerger()
  private var tokens: [Int32] = []

  init(model: TokenizerModel, cache: WordCache) {
    self.model = model
    self.cache = cache
  }

  mutating func take(_ word: Span<UInt8>) {
    let hash = WordCache.hash(word)
    if cache.append(word, hash: hash, to: &tokens) { return }
    let first = tokens.count
    if let whole = model.wholeWord(word) {
      tokens.append(whole)
    } else {
      switch model.spelling {
      case .merges(let merges): merger.append(word, by: merges, to: &tokens)
      case .words(let unknown): if !WordScanner.isWhitespace(word) { tokens.append(unknown) }
      }
    }
    cache.insert(word, hash: hash, tokens: tokens[first...])
  }

  mutating func take(addedToken: Int32) { tokens.append(addedToken) }

  mutating func moveTokens(to output: inout [Int32]) {
    output += tokens
    tokens.removeAll(keepingCapacity: true)
  }
}
