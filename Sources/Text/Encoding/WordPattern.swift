// How text is cut into words: the patterns of GPT-2 and Qwen, and white space, by hand.
//
// Bytes are valid UTF-8 throughout; only the last character of a piece may be cut short.

/// A pre-tokenisation pattern. Merges never cross the borders that it sets.
public enum WordPattern: Sendable, Equatable {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// Qwen 2's; with digits in threes it is Llama 3's.
  case qwen(digits: Int)
  /// `\s+|\S+`: of word-level vocabularies, which leave white space out.
  case whitespace

  public static let qwen = WordPattern.qwen(digits: 1)

  /// The regular expression that `tokenizer.json` holds; GPT-2's is implied there.
  package var regularExpression: String {
    switch self {
    case .gpt2:
      #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .qwen(let digits):
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
        + (digits == 1 ? "" : "{1,\(digits)}")
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    case .whitespace: #"\s+|\S+"#
    }
  }
}

/// Finds words one after another.
package struct WordScanner {
  private let pattern: WordPattern
  private let classes = CharacterClasses.shared

  package init(_ pattern: WordPattern) { self.pattern = pattern }

  /// No decision looks further than this many bytes past a word's end.
  static let lookahead = 8

  /// Where the word that starts at `start` ends, if the text ends with `bytes`.
  @inline(__always)
  package func end(of start: Int, in bytes: Span<UInt8>) -> Int {
    switch pattern {
    case .gpt2: gpt2End(start, bytes)
    case .qwen(let digits): qwenEnd(start, bytes, digits)
    case .whitespace: whitespaceSplitEnd(start, bytes)
    }
  }

  private func whitespaceSplitEnd(_ start: Int, _ bytes: Span<UInt8>) -> Int {
    var (kind, end) = character(at: start, bytes)
    let isWhitespace = kind.isWhitespace
    while end < bytes.count {
      let next: Int
      (kind, next) = character(at: end, bytes)
      guard kind.isWhitespace == isWhitespace else { break }
      end = next
    }
    return end
  }

  private func gpt2End(_ start: Int, _ bytes: Span<UInt8>) -> Int {
    let first = bytes[start]
    if first == UInt8(ascii: "'"), let end = contraction(start, bytes, anyCase: false) {
      return end
    }
    var (kind, next) = character(at: start, bytes)
    if first == UInt8(ascii: " ") && next < bytes.count {
      let (second, after) = character(at: next, bytes)
      if !second.isWhitespace { (kind, next) = (second, after) }
    }
    if kind.isWhitespace { return whitespaceEnd(start, bytes, stopsAtNewline: false) }
    return run(of: kind, from: next, bytes)
  }

  private func qwenEnd(_ start: Int, _ bytes: Span<UInt8>, _ digits: Int) -> Int {
    let first = bytes[start]
    if first == UInt8(ascii: "'"), let end = contraction(start, bytes, anyCase: true) { return end }
    let (kind, next) = character(at: start, bytes)
    switch kind {
    case .letter: return run(of: .letter, from: next, bytes)
    case .number:
      var end = next
      for _ in 1..<digits where end < bytes.count {
        let (following, after) = character(at: end, bytes)
        guard following == .number else { break }
        end = after
      }
      return end
    case .newline: return whitespaceEnd(start, bytes, stopsAtNewline: true)
    case .space, .other:
      let following = next < bytes.count ? character(at: next, bytes).kind : .newline
      if following == .letter { return run(of: .letter, from: next, bytes) }
      if kind == .other || (first == UInt8(ascii: " ") && following == .other) {
        return run(of: .newline, from: run(of: .other, from: next, bytes), bytes)
      }
      return whitespaceEnd(start, bytes, stopsAtNewline: true)
    }
  }

  /// `\s*[\r\n]+` where asked for, then `\s+(?!\S)|\s+`.
  private func whitespaceEnd(_ start: Int, _ bytes: Span<UInt8>, stopsAtNewline: Bool) -> Int {
    var end = start
    var last = start
    var newline = start
    while end < bytes.count {
      let (kind, next) = character(at: end, bytes)
      guard kind.isWhitespace else { break }
      last = end
      end = next
      if kind == .newline { newline = next }
    }
    if stopsAtNewline && newline > start { return newline }
    // A run that something follows leaves its last character to that.
    return end < bytes.count && last > start ? last : end
  }

  @inline(__always)
  private func run(of kind: CharacterClass, from start: Int, _ bytes: Span<UInt8>) -> Int {
    var end = start
    while end < bytes.count {
      let (found, next) = character(at: end, bytes)
      guard found == kind else { break }
      end = next
    }
    return end
  }

  /// The end of `'s|'t|'re|'ve|'m|'ll|'d` at `start`.
  private func contraction(_ start: Int, _ bytes: Span<UInt8>, anyCase: Bool) -> Int? {
    func letter(_ index: Int) -> UInt8 {
      guard index < bytes.count else { return 0 }
      let byte = bytes[index]
      return anyCase && byte >= 65 && byte <= 90 ? byte | 0x20 : byte
    }
    let first = letter(start + 1)
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return letter(start + 2) == UInt8(ascii: "e") ? start + 3 : nil
    case UInt8(ascii: "l"): return letter(start + 2) == first ? start + 3 : nil
    // ſ, the long s, is an s to a pattern that does not look at case.
    case 0xc5 where anyCase && letter(start + 2) == 0xbf: return start + 3
    default: return nil
    }
  }

  /// Whether a word that `whitespace` finds is what parts the others.
  static func isWhitespace(_ word: Span<UInt8>) -> Bool {
    WordScanner(.whitespace).character(at: 0, word).kind.isWhitespace
  }

  /// The class of the character at `index`, and where the next one starts.
  @inline(__always)
  private func character(
    at index: Int, _ bytes: Span<UInt8>
  ) -> (kind: CharacterClass, next: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 { return (classes[first], index + 1) }
    func bits(_ offset: Int) -> UInt32 { UInt32(bytes[index + offset] & 0x3f) }
    let length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    guard index + length <= bytes.count else { return (.other, bytes.count) }
    let code =
      switch length {
      case 2: (first & 0x1f) << 6 | bits(1)
      case 3: (first & 0x0f) << 12 | bits(1) << 6 | bits(2)
      default: (first & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3)
      }
    return (classes[code], index + length)
  }
}
