// The text that a loss is measured on: what its tokens spell.

import Testing
import Text
import Training

@Suite struct EvaluationTextTests {
  /// Its tenths differ in bytes a character and characters a token, and so do the parts of one tenth.
  private static let text: String = (0..<1200).map { line in
    switch line % 40 {
    case 0..<12: "the swift flies the swift flies \(line)\n"
    case 12..<25: "стриж летит всё выше \(line)\n"
    case 25..<33: "雨燕飛\(line)\n"
    default: "🐦\(line) e\u{301}\n"
    }
  }.joined()

  @Test(arguments: [1, 2, 7, 40])
  func `the characters of some windows are counted, not estimated`(limit: Int) throws {
    let folder = ScratchFolder()
    let path = folder.file("text.txt", Array(Self.text.utf8))
    var training = try TokenizerTraining(TokenizerSettings(vocabularySize: 400))
    try training.append(corpus: path, isWhole: true)
    let tokenizer = training.tokenizer()
    let part = try Corpus(path, tokenizer: tokenizer).evaluation()
    let evaluated = try EvaluationText(part, tokenizer: tokenizer, length: 17, limit: limit)
    // The scalars of the last tenth that begin within the bytes of the first tokens.
    let bytes = tokenizer.bytes(of: part.window(at: 0, count: limit * 17)).count
    let scalars = Array(Self.text.unicodeScalars)
    var start = 0
    var expected = 0
    for scalar in scalars[(scalars.count * 9 / 10)...] where start < bytes {
      start += scalar.utf8.count
      expected += 1
    }
    #expect(limit * 17 < part.count)
    #expect(evaluated.characters == expected)
  }

  @Test func `all windows spell the whole part`() throws {
    let folder = ScratchFolder()
    let path = folder.file("text.txt", Array(Self.text.utf8))
    let tokenizer = try TokenizerTraining(TokenizerSettings(vocabularySize: 257)).tokenizer()
    let part = try Corpus(path, tokenizer: tokenizer).evaluation()
    let count = Self.text.unicodeScalars.count
    for limit in [0, 1_000_000] {
      let evaluated = try EvaluationText(part, tokenizer: tokenizer, length: 64, limit: limit)
      #expect(evaluated.characters == count - count * 9 / 10)
    }
  }
}
