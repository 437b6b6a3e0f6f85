// The tokenizer against what the tokenizers library wrote.

import Foundation
import Testing
import Text

@Suite struct TokenizerGoldenTests {
  @Test(arguments: TokenizerCases.all)
  func `ids equal those of the tokenizers library`(golden: TokenizerCases) throws {
    let (tokenizer, cases) = try golden.load()
    #expect(!cases.isEmpty)
    for (index, expected) in cases.enumerated() {
      let ids = tokenizer.encode(expected.text)
      #expect(ids == expected.ids, "case \(index): \(expected.text.debugDescription)")
    }
  }

  @Test(arguments: TokenizerCases.all)
  func `ids decode to what the library decodes them to`(golden: TokenizerCases) throws {
    let (tokenizer, cases) = try golden.load()
    let text = { (ids: [Int32]) in tokenizer.decode(ids) }
    let withoutSpecial = { (ids: [Int32]) in tokenizer.decode(ids, skippingSpecialTokens: true) }
    for (index, expected) in cases.enumerated() {
      guard let decoded = expected.decoded else { continue }
      // Cases say nothing of whether special tokens were left out.
      #expect(
        areSameBytes(text(expected.ids), decoded)
          || areSameBytes(withoutSpecial(expected.ids), decoded),
        "case \(index): \(expected.text.debugDescription)")
    }
    if golden.folder.contains("/Tests/Goldens/") {
      // There the text itself is meant where nothing else is said.
      for expected in cases where expected.decoded == nil {
        #expect(areSameBytes(text(expected.ids), expected.text))
      }
    }
  }

  @Test(arguments: TokenizerCases.all)
  func `a tokenizer that is written and read is the same`(golden: TokenizerCases) throws {
    let (tokenizer, cases) = try golden.load()
    let copy = try Tokenizer(json: tokenizer.json, source: "copy")
    #expect(copy.fingerprint == tokenizer.fingerprint)
    #expect(copy.json == tokenizer.json)
    #expect(copy.addedTokens.map(\.content) == tokenizer.addedTokens.map(\.content))
    for expected in cases { #expect(copy.encode(expected.text) == expected.ids) }
  }

  @Test func `there are committed cases of both patterns`() throws {
    let committed = TokenizerCases.all.filter { $0.folder.contains("/Tests/Goldens/") }
    #expect(committed.count >= 2)
  }
}
