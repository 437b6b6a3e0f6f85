// Encodes a text that arrives in pieces; the tokens do not depend on where it was cut.

/// The encoding of one text. Append its bytes (valid UTF-8), then finish; then it takes the next.
public struct TokenStream: Sendable {
  private let model: TokenizerModel
  private let given: AddedTokenMatcher
  private let normalized: AddedTokenMatcher
  private let scanner: WordScanner
  private var words: WordCache
  private var merger = WordMerger()
  /// Bytes in which a token's string may be cut short, or a character yet to be composed.
  private var raw: [UInt8] = []
  /// Normalised text between two added tokens, as far as it is not yet cut into words.
  private var text: [UInt8] = []
  private var isFresh = true

  /// Bytes a piece should have at most, so that what is carried over stays small.
  private static let pieceSize = 1 << 16

  init(_ model: TokenizerModel, words: WordCache, recognizesAddedTokens: Bool) {
    self.model = model
    self.words = words
    scanner = WordScanner(model.pattern)
    given = recognizesAddedTokens ? model.givenTokens : AddedTokenMatcher([])
    normalized = recognizesAddedTokens ? model.normalizedTokens : AddedTokenMatcher([])
  }

  /// Takes the next bytes of the text; appends tokens that are certain to `tokens`.
  public mutating func append(_ bytes: Span<UInt8>, to tokens: inout [Int32]) {
    var start = 0
    while start < bytes.count {
      let end = min(start + Self.pieceSize, bytes.count)
      for index in start..<end { raw.append(bytes[index]) }
      splitRaw(isLast: false, &tokens)
      start = end
    }
  }

  /// Ends the text: appends what is left of its tokens.
  public mutating func finish(to tokens: inout [Int32]) {
    splitRaw(isLast: true, &tokens)
    isFresh = true
  }

  /// The words seen, to be used for another stream of the same tokenizer.
  var knownWords: WordCache { words }

  /// Cuts at tokens whose strings are looked for in the text as given.
  private mutating func splitRaw(isLast: Bool, _ tokens: inout [Int32]) {
    let certain = isLast ? raw.count : max(0, raw.count - given.longest)
    var start = 0
    while let match = given.first(in: raw.span, from: start, before: certain) {
      normalize(start..<match.range.lowerBound)
      splitText(isLast: true, &tokens)
      tokens.append(match.id)
      isFresh = true
      start = match.range.upperBound
    }
    var end = max(start, certain)
    if !isLast {
      while end > start && end < raw.count && raw[end] & 0xc0 == 0x80 { end -= 1 }
      if model.normalizes {
        end = NormalizationFormC.lastBorder(in: raw.span, from: start, to: end)
      }
    }
    normalize(start..<end)
    raw.removeFirst(end)
    splitText(isLast: isLast, &tokens)
  }

  private mutating func normalize(_ range: Range<Int>) {
    if model.normalizes {
      let source = raw
      NormalizationFormC.append(source.span, range, to: &text)
    } else {
      text += raw[range]
    }
  }

  /// Cuts at tokens whose strings are looked for in normalised text.
  private mutating func splitText(isLast: Bool, _ tokens: inout [Int32]) {
    var certain = isLast ? text.count : max(0, text.count - normalized.longest)
    var start = 0
    while let match = normalized.first(in: text.span, from: start, before: certain) {
      let end = encode(start..<match.range.lowerBound, isLast: true, &tokens)
      // A prefix space moves what follows.
      let shift = end - match.range.lowerBound
      start = match.range.upperBound + shift
      certain += shift
      tokens.append(match.id)
      isFresh = true
    }
    let margin = max(normalized.longest, WordScanner.lookahead)
    let end = encode(start..<text.count, isLast: isLast, margin: margin, &tokens)
    text.removeFirst(end)
  }

  /// Encodes the words of a range of the text and gives the end of the last one; unless the text
  /// ends here, words that what follows could change are left.
  private mutating func encode(
    _ range: Range<Int>, isLast: Bool, margin: Int = 0, _ tokens: inout [Int32]
  ) -> Int {
    var limit = range.upperBound
    if isFresh && !range.isEmpty {
      isFresh = false
      if model.addsPrefixSpace && text[range.lowerBound] != UInt8(ascii: " ") {
        text.insert(UInt8(ascii: " "), at: range.lowerBound)
        limit += 1
      }
    }
    let source = text
    let bytes = source.span.extracting(0..<limit)
    var start = range.lowerBound
    while start < limit {
      let end = scanner.end(of: start, in: bytes)
      if !isLast && end + margin > limit { break }
      let word = bytes.extracting(start..<end)
      let hash = WordCache.hash(word)
      if !words.append(word, hash: hash, to: &tokens) {
        let first = tokens.count
        if let whole = model.wholeWord(word) {
          tokens.append(whole)
        } else {
          merger.append(word, by: model.merges, to: &tokens)
        }
        words.insert(word, hash: hash, tokens: tokens[first...])
      }
      start = end
    }
    return start
  }
}
