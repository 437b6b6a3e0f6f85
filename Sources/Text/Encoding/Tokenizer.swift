// The tokenizer as others see it: text to ids and back.

import Synchronization

/// A byte-level byte-pair tokenizer (Radford et al. 2019), which encodes every text and loses nothing,
/// normalisation aside; or a list of whole words, to which other words are unknown.
public final class Tokenizer: Sendable {
  let model: TokenizerModel
  /// 32 hexadecimal digits that stand for everything that decides what a text becomes.
  public let fingerprint: String
  /// Words that earlier calls met. A call takes a cache and gives it back, so none waits.
  private let caches = Mutex<[WordCache]>([])

  init(_ model: TokenizerModel) {
    self.model = model
    var fingerprint = Fingerprint()
    fingerprint.update(TokenizerJSON.text(of: model).span)
    self.fingerprint = fingerprint.text
  }

  /// Whole words parted by white space, their ids being their places. `special` ones steer; what is
  /// not listed becomes `unknown`, which is. No word may stand twice or hold white space.
  public convenience init(words: [String], unknown: String, special: Set<String>) {
    guard let place = words.firstIndex(of: unknown), Set(words).count == words.count,
      words.allSatisfy({ !$0.isEmpty && !$0.contains(where: \.isWhitespace) })
    else { fatalError("words \(words), unknown \(unknown)") }
    var options = TokenizerModel.Options()
    options.pattern = .whitespace
    self.init(
      TokenizerModel(
        options, entries: words.map { Array($0.utf8) }, spelling: .words(unknown: Int32(place)),
        addedTokens: words.enumerated().filter { special.contains($0.element) }
          .map { AddedToken(id: Int32($0.offset), content: $0.element) }))
  }

  /// One more than the largest id.
  public var vocabularySize: Int { model.entries.count }

  /// Tokens that steer, in the order of their ids.
  public var specialTokens: [AddedToken] { model.addedTokens.filter(\.isSpecial) }

  /// Special tokens and words that merging does not split, in the order of their ids.
  public var addedTokens: [AddedToken] { model.addedTokens }

  /// The id of an added token by its string.
  public func id(of content: String) -> Int32? {
    model.addedTokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id
  }

  /// What ends a document: `<|endoftext|>`, where the vocabulary has it.
  public var endOfText: Int32? { id(of: "<|endoftext|>") }

  /// The ids of a text. Where it holds an added token's string it becomes that token; with
  /// `recognizingAddedTokens` false it is text like any other, as everything must be that comes
  /// from outside into a conversation.
  public func encode(_ text: String, recognizingAddedTokens: Bool = true) -> [Int32] {
    var stream = stream(recognizingAddedTokens: recognizingAddedTokens)
    var tokens: [Int32] = []
    let bytes = Array(text.utf8)
    stream.append(bytes.span, to: &tokens)
    stream.finish(to: &tokens)
    keep(stream)
    return tokens
  }

  /// An encoding of a text that comes in pieces.
  public func stream(recognizingAddedTokens: Bool = true) -> TokenStream {
    let cache = caches.withLock { $0.popLast() } ?? WordCache()
    return TokenStream(model, cache: cache, recognizesAddedTokens: recognizingAddedTokens)
  }

  private func keep(_ stream: consuming TokenStream) {
    let cache = stream.cache
    caches.withLock { if $0.count < 8 { $0.append(cache) } }
  }

  /// What stands between the texts of two tokens: a space between whole words, else nothing.
  public var separator: String { String(decoding: model.separator, as: UTF8.self) }

  /// The bytes of ids, one after another, words parted by spaces; ids without an entry have none.
  public func bytes(
    of tokens: some Sequence<Int32>, skippingSpecialTokens: Bool = false
  ) -> [UInt8] {
    let special = skippingSpecialTokens ? Set(specialTokens.map(\.id)) : []
    var bytes: [UInt8] = []
    var isFirst = true
    for token in tokens where model.entries.indices.contains(Int(token)) {
      if special.contains(token) { continue }
      guard let entry = model.entries[Int(token)] else { continue }
      if isFirst { isFirst = false } else { bytes += model.separator }
      bytes += entry
    }
    return bytes
  }

  /// The text of ids; bytes that are no UTF-8 become U+FFFD.
  public func decode(
    _ tokens: some Sequence<Int32>, skippingSpecialTokens: Bool = false
  ) -> String {
    String(
      decoding: bytes(of: tokens, skippingSpecialTokens: skippingSpecialTokens), as: UTF8.self)
  }
}
