// Word-level tokenizers: one that is made of words, its file, and what is refused. Ids against the
// tokenizers library's: TokenizerGoldenTests.

import Foundation
import Testing
import Text

@Suite struct WordLevelTests {
  static let words = Tokenizer(
    words: ["<|pad|>", "<|endoftext|>", "<bos>", "=", "0", "é", "<unk>"], unknown: "<unk>",
    special: ["<|pad|>", "<|endoftext|>"])

  @Test(
    arguments: [
      ("<bos> 0 é =", [2, 4, 5, 3]),
      ("  <bos>\u{a0}0\n\n0\u{3000}", [2, 4, 4]),
      // Nothing is split within a word, nor composed: e and an accent are another word than é.
      ("00 <bos>= e\u{301}", [6, 6, 6]),
      ("<unk> <|pad|> x<|endoftext|>0", [6, 0, 6, 1, 4]),
      ("", []), (" \t ", []),
    ] as [(String, [Int32])])
  func `white space parts words, and what is not listed is unknown`(text: String, ids: [Int32]) {
    #expect(Self.words.encode(text) == ids)
  }

  @Test func `a text cannot say a control token`() {
    #expect(
      Self.words.encode("0 <|endoftext|> <|pad|>0", recognizingAddedTokens: false) == [4, 6, 6])
  }

  @Test func `words are decoded with a space between them, all at once as one by one`() {
    let ids: [Int32] = [2, 4, 1, 5, 99, 6]
    #expect(Self.words.decode(ids) == "<bos> 0 <|endoftext|> é <unk>")
    #expect(Self.words.decode(ids, skippingSpecialTokens: true) == "<bos> 0 é <unk>")
    for skips in [false, true] {
      var assembly = TextAssembly(Self.words, skippingSpecialTokens: skips)
      let text = ids.map { assembly.append($0) }.joined() + assembly.finish()
      #expect(text == Self.words.decode(ids, skippingSpecialTokens: skips))
    }
  }

  @Test func `a text gives the same words wherever it is cut`() {
    var draws = Draws(17)
    let pool = [" ", "\n", "\u{3000}", "<bos>", "0", "é", "<|pad|>", "=", "xyz"]
    for _ in 0..<300 {
      let text = (0..<Int.random(in: 1...30, using: &draws))
        .map { _ in pool.randomElement(using: &draws)! }.joined()
      var stream = Self.words.stream()
      var ids: [Int32] = []
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        let piece = Array(rest.prefix(Int.random(in: 1...5, using: &draws)))
        stream.append(piece.span, to: &ids)
        rest = rest.dropFirst(piece.count)
      }
      stream.finish(to: &ids)
      #expect(ids == Self.words.encode(text), "\(text.debugDescription)")
    }
  }

  @Test func `a written file is read as the same tokenizer`() throws {
    let copy = try Tokenizer(json: Self.words.json, source: "copy")
    #expect(copy.json == Self.words.json && copy.fingerprint == Self.words.fingerprint)
    #expect(copy.specialTokens.map(\.content) == ["<|pad|>", "<|endoftext|>"])
    #expect(copy.vocabularySize == 7 && copy.endOfText == 1)
    #expect(copy.encode("<bos> 0 nothing") == [2, 4, 6])
    let other = Tokenizer(words: ["a", "<unk>"], unknown: "<unk>", special: [])
    #expect(other.fingerprint != copy.fingerprint)
  }

  @Test func `a conversation's stop and padding are found by their names`() throws {
    let template = try ChatTemplate(Self.words, source: "words")
    #expect(template.stop == 1 && template.padding == 0)
    let example = try template.encode(
      InstructionExample(prompt: .text("<bos> 0 ="), completion: .text("0 0")))
    #expect(example.tokens == [2, 4, 3, 4, 4, 1])
    #expect(example.isLearned == [false, false, false, true, true, true])
  }

  @Test(
    arguments: [
      (
        "pre_tokenizer", #"{"type":"Whitespace"}"#,
        ["pre_tokenizer", "Whitespace", "WhitespaceSplit"]
      ),
      ("pre_tokenizer", "null", ["pre_tokenizer", "WhitespaceSplit"]),
      ("decoder", #"{"type":"WordPiece"}"#, ["decoder", "accepted: null"]),
      ("normalizer", #"{"type":"Lowercase"}"#, ["normalizer", "Lowercase"]),
      ("model", #"{"type":"WordLevel","vocab":{"a":0}}"#, ["model.unk_token", "is missing"]),
      (
        "model", #"{"type":"WordLevel","vocab":{"a":0},"unk_token":"b"}"#,
        ["model.unk_token", "\"b\" is not in vocab"]
      ),
      (
        "model", #"{"type":"WordLevel","vocab":{"a":0,"b":0},"unk_token":"a"}"#,
        ["model.vocab", "taken"]
      ),
      (
        "model", #"{"type":"WordLevel","vocab":{"a":0},"unk_token":"a","merges":[]}"#,
        ["model", "\"merges\" is not supported"]
      ),
      ("model", #"{"type":"WordPiece","vocab":{}}"#, ["model", "WordPiece", "BPE, WordLevel"]),
    ] as [(String, String, [String])])
  func `what a list of words cannot follow is refused by name`(
    name: String, value: String, says: [String]
  ) throws {
    var root = try #require(
      try JSONSerialization.jsonObject(with: Data(Self.words.json)) as? [String: Any])
    root[name] = try JSONSerialization.jsonObject(
      with: Data(value.utf8), options: .fragmentsAllowed)
    let json = Array(try JSONSerialization.data(withJSONObject: root))
    let error = #expect(throws: TextError.self) {
      try Tokenizer(json: json, source: "tokenizer.json")
    }
    for part in says { #expect(error?.description.contains(part) == true, "\(error!)") }
  }
}
