// Training against the definition, done slowly.

import Foundation
import Testing
import Text

@Suite struct TokenizerTrainingTests {
  /// Byte-pair encoding by its definition: count all pairs anew for each merge.
  private func slowMerges(
    _ words: [[String]], count: Int, ids: inout [String: Int]
  ) -> [[String]] {
    var words = words
    var merges: [[String]] = []
    while merges.count < count {
      var counts: [[String]: Int] = [:]
      for word in words {
        for pair in zip(word, word.dropFirst()) { counts[[pair.0, pair.1], default: 0] += 1 }
      }
      let best = counts.filter { $0.value >= 2 }.min { a, b in
        if a.value != b.value { return a.value > b.value }
        return (ids[a.key[0]]!, ids[a.key[1]]!) < (ids[b.key[0]]!, ids[b.key[1]]!)
      }
      guard let pair = best?.key else { break }
      merges.append(pair)
      let joined = pair[0] + pair[1]
      if ids[joined] == nil { ids[joined] = ids.count }
      words = words.map { word in
        var result: [String] = []
        var index = 0
        while index < word.count {
          if index + 1 < word.count, word[index] == pair[0], word[index + 1] == pair[1] {
            result.append(joined)
            index += 2
          } else {
            result.append(word[index])
            index += 1
          }
        }
        return result
      }
    }
    return merges
  }

  @Test(arguments: 1...12)
  func `merges are the most frequent pairs, the lowest first among equals`(seed: UInt64) throws {
    var draws = Draws(seed)
    let alphabet = seed % 2 == 0 ? "ab" : "abcdef"
    let words = (0..<60).map { _ in
      String(
        (0..<Int.random(in: 1...12, using: &draws)).map { _ in
          alphabet.randomElement(using: &draws)!
        })
    }
    // Bytes in the order of their characters: what is printable first.
    var ids: [String: Int] = [:]
    for code in 0x21...0x7e { ids[String(Unicode.Scalar(UInt8(code)))] = ids.count }
    let expected = slowMerges(words.map { $0.map(String.init) }, count: 40, ids: &ids)
    var settings = TokenizerSettings(vocabularySize: 256 + 40)
    settings.specialTokens = []
    var training = try TokenizerTraining(settings)
    for word in words { training.append(text: word) }
    let file = try #require(
      try JSONSerialization.jsonObject(with: Data(training.tokenizer().json)) as? [String: Any])
    let model = try #require(file["model"] as? [String: Any])
    let lines: [String] = try #require(model["merges"] as? [String])
    let merges = lines.map { $0.split(separator: " ").map(String.init) }
    #expect(!merges.isEmpty)
    #expect(Array(merges.prefix(expected.count)) == Array(expected.prefix(merges.count)))
  }

  @Test func `the same text in other pieces gives the same tokenizer`() throws {
    var draws = Draws(9)
    let text = HardText.make(20_000, using: &draws)
    let bytes = Array(text.utf8)
    var settings = TokenizerSettings(vocabularySize: 800)
    settings.pattern = .qwen
    settings.normalizes = true
    var whole = try TokenizerTraining(settings)
    whole.append(text: text)
    var pieces = try TokenizerTraining(settings)
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + Int.random(in: 1...500, using: &draws))
      pieces.append(bytes.span.extracting(start..<end))
      start = end
    }
    pieces.finishText()
    #expect(whole.tokenizer().fingerprint == pieces.tokenizer().fingerprint)
  }

  @Test func `a learnt tokenizer that is saved gives the same ids`() throws {
    let folder = try TemporaryFolder()
    var draws = Draws(10)
    var training = try TokenizerTraining(TokenizerSettings(vocabularySize: 700))
    training.append(text: HardText.make(30_000, using: &draws))
    let tokenizer = training.tokenizer()
    try tokenizer.write(to: "\(folder.path)/tokenizer.json")
    let copy = try Tokenizer(contentsOf: "\(folder.path)/tokenizer.json")
    #expect(copy.vocabularySize == 700)
    #expect(copy.fingerprint == tokenizer.fingerprint)
    for _ in 0..<200 {
      let text = HardText.make(60, using: &draws)
      #expect(copy.encode(text) == tokenizer.encode(text))
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(names == ["tokenizer.json"])
  }

  @Test func `text that runs out of pairs gives a smaller vocabulary`() throws {
    var training = try TokenizerTraining(TokenizerSettings(vocabularySize: 5000))
    training.append(text: "to be or not to be")
    let size = training.tokenizer().vocabularySize
    #expect(size > 257 && size < 280)
  }

  @Test func `impossible settings are refused`() {
    #expect(throws: TextError.self) {
      try TokenizerTraining(TokenizerSettings(vocabularySize: 256))
    }
    var settings = TokenizerSettings(vocabularySize: 1000)
    settings.specialTokens = ["<|a|>", "<|a|>"]
    #expect(throws: TextError.self) { try TokenizerTraining(settings) }
  }

  @Test func `4,096 merges on 4 MB are learnt within 10 seconds`() throws {
    var draws = Draws(11)
    let text = HardText.zipf(bytes: 4_000_000, using: &draws)
    let start = clock()
    var training = try TokenizerTraining(TokenizerSettings(vocabularySize: 257 + 4096))
    training.append(text: text)
    let size = training.tokenizer().vocabularySize
    let seconds = Double(clock() - start) / Double(CLOCKS_PER_SEC)
    print("training: \(size) entries in \(seconds) s")
    #expect(size == 257 + 4096)
    #expect(seconds <= 10)
  }
}
