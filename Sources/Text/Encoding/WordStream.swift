// Cuts a text that arrives in pieces into words; they do not depend on where it was cut.

/// Takes the words of a text in order.
protocol WordSink: Sendable {
  mutating func take(_ word: Span<UInt8>)
  mutating func take(addedToken: Int32)
}

/// How text becomes words: the steps before merging.
struct WordRules: Sendable {
  var pattern: WordPattern
  var normalizes: Bool
  var addsPrefixSpace: Bool
  /// Tokens whose strings are looked for in the text as given.
  var given = AddedTokenMatcher([])
  /// Tokens whose strings are looked for in the normalised text.
  var normalized = AddedTokenMatcher([])
}

/// The steps applied to one text after another. Append bytes (valid UTF-8), then finish.
struct WordStream<Sink: WordSink>: Sendable {
  var sink: Sink
  private let rules: WordRules
  private let scanner: WordScanner
  /// Bytes in which a token's string may be cut short, or a character yet to be composed.
  private var raw: [UInt8] = []
  /// Normalised text between two added tokens, as far as it is not yet cut into words.
  private var text: [UInt8] = []
  /// Whether no text was seen since the start or the last added token.
  private var isFresh = true

  /// Long pieces are taken in parts, so that what is carried over stays small.
  private static var partSize: Int { 1 << 16 }

  init(_ rules: WordRules, sink: Sink) {
    self.rules = rules
    self.sink = sink
    scanner = WordScanner(rules.pattern)
  }

  mutating func append(_ bytes: Span<UInt8>) {
    var start = 0
    while start < bytes.count {
      let end = min(start + Self.partSize, bytes.count)
      raw.append(copying: bytes.extracting(start..<end))
      splitRaw(isLast: false)
      start = end
    }
  }

  /// Ends the text: gives what is left of it to the sink.
  mutating func finish() {
    splitRaw(isLast: true)
    isFresh = true
  }

  private mutating func splitRaw(isLast: Bool) {
    let certain = isLast ? raw.count : max(0, raw.count - rules.given.longest)
    var start = 0
    while let match = rules.given.first(in: raw.span, from: start, before: certain) {
      normalize(start..<match.range.lowerBound)
      splitText(isLast: true)
      take(match)
      start = match.range.upperBound
    }
    var end = max(start, certain)
    if !isLast {
      while end > start && end < raw.count && raw[end] & 0xc0 == 0x80 { end -= 1 }
      if rules.normalizes {
        end = NormalizationFormC.lastBorder(in: raw.span, from: start, to: end)
      }
    }
    normalize(start..<end)
    raw.removeFirst(end)
    splitText(isLast: isLast)
  }

  private mutating func normalize(_ range: Range<Int>) {
    guard rules.normalizes else {
      text += raw[range]
      return
    }
    let source = raw
    NormalizationFormC.append(source.span, range, to: &text)
  }

  private mutating func splitText(isLast: Bool) {
    let longest = rules.normalized.longest
    var certain = isLast ? text.count : max(0, text.count - longest)
    var start = 0
    while let match = rules.normalized.first(in: text.span, from: start, before: certain) {
      let end = cut(start..<match.range.lowerBound, isLast: true)
      // A prefix space moves what follows.
      let shift = end - match.range.lowerBound
      start = match.range.upperBound + shift
      certain += shift
      take(match)
    }
    let margin = max(longest, WordScanner.lookahead)
    text.removeFirst(cut(start..<text.count, isLast: isLast, margin: margin))
  }

  private mutating func take(_ match: AddedTokenMatcher.Match) {
    sink.take(addedToken: match.id)
    isFresh = true
  }

  /// Gives the words of a range of the text to the sink, and where the last one ends; unless the
  /// text ends here, words that what follows could change are left.
  private mutating func cut(_ range: Range<Int>, isLast: Bool, margin: Int = 0) -> Int {
    var limit = range.upperBound
    guard isLast ? !range.isEmpty : range.count > margin else { return range.lowerBound }
    if isFresh {
      isFresh = false
      if rules.addsPrefixSpace && text[range.lowerBound] != UInt8(ascii: " ") {
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
      sink.take(bytes.extracting(start..<end))
      start = end
    }
    return start
  }
}

extension Array where Element == UInt8 {
  mutating func append(copying bytes: Span<UInt8>) {
    bytes.withUnsafeBufferPointer { append(contentsOf: $0) }
  }
}
