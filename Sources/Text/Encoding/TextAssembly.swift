// Text out of tokens that come one at a time.

/// Holds back the bytes of a character until it is whole, so that text can be printed as it grows.
public struct TextAssembly: Sendable {
  private let tokenizer: Tokenizer
  private let skipsSpecialTokens: Bool
  private var pending: [UInt8] = []
  /// Whether a token's text came before.
  private var hasBegun = false

  public init(_ tokenizer: Tokenizer, skippingSpecialTokens: Bool = false) {
    self.tokenizer = tokenizer
    skipsSpecialTokens = skippingSpecialTokens
  }

  /// The text that this token completes.
  public mutating func append(_ token: Int32) -> String {
    let bytes = tokenizer.bytes(of: [token], skippingSpecialTokens: skipsSpecialTokens)
    if !bytes.isEmpty {
      if hasBegun { pending += Array(tokenizer.separator.utf8) }
      hasBegun = true
      pending += bytes
    }
    let whole = pending.count - openBytes
    defer { pending.removeFirst(whole) }
    return String(decoding: pending[..<whole], as: UTF8.self)
  }

  /// What is left at the end: U+FFFD if a character was begun, else nothing.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// How many bytes at the end begin a character that more bytes may complete.
  private var openBytes: Int {
    for length in 1...3 where length <= pending.count {
      let byte = pending[pending.count - length]
      if byte & 0xc0 == 0x80 { continue }
      let expected = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1
      return byte < 0xf5 && length < expected ? length : 0
    }
    return 0
  }
}
