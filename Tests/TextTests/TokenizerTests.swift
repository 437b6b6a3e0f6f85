// What must hold for every text and every byte-pair tokenizer.

import Foundation
import Testing
import Text

@Suite struct TokenizerTests {
  /// One of each pattern, learnt from hard text.
  static let tokenizers: [Tokenizer] = [WordPattern.gpt2, .qwen].map { pattern in
    var settings = TokenizerSettings(vocabularySize: 600)
    settings.pattern = pattern
    settings.specialTokens = ["<|endoftext|>", "<|user|>"]
    var draws = Draws(1)
    guard var training = try? TokenizerTraining(settings) else { fatalError("settings") }
    for _ in 0..<200 { training.append(text: HardText.make(400, using: &draws)) }
    return training.tokenizer()
  }

  @Test(arguments: tokenizers.indices)
  func `decoding gives back every text`(index: Int) {
    let tokenizer = Self.tokenizers[index]
    var draws = Draws(2)
    for _ in 0..<500 {
      let text = HardText.make(Int.random(in: 0...80, using: &draws), using: &draws)
      #expect(areSameBytes(tokenizer.decode(tokenizer.encode(text)), text))
    }
    for _ in 0..<200 {
      let noise = (0..<64).map { _ in UInt8.random(in: 0...255, using: &draws) }
      let text = String(decoding: noise, as: UTF8.self)
      let plain = tokenizer.encode(text, recognizingAddedTokens: false)
      #expect(areSameBytes(tokenizer.decode(plain), text))
    }
  }

  @Test(arguments: TokenizerCases.all)
  func `it does not matter where a text is cut into pieces`(golden: TokenizerCases) throws {
    let (tokenizer, _) = try golden.load()
    var draws = Draws(3)
    for _ in 0..<150 {
      let text = HardText.make(Int.random(in: 1...120, using: &draws), using: &draws)
      let bytes = Array(text.utf8)
      var stream = tokenizer.stream()
      var tokens: [Int32] = []
      var start = 0
      while start < bytes.count {
        let end = min(bytes.count, start + Int.random(in: 1...9, using: &draws))
        stream.append(bytes.span.extracting(start..<end), to: &tokens)
        start = end
      }
      stream.finish(to: &tokens)
      #expect(tokens == tokenizer.encode(text), "\(text.debugDescription)")
    }
  }

  @Test func `a special token's string stays text where it shall`() {
    let tokenizer = Self.tokenizers[0]
    let text = "a<|user|>b<|endoftext|>"
    let user = tokenizer.id(of: "<|user|>")!
    #expect(tokenizer.encode(text).filter { $0 == user }.count == 1)
    let plain = tokenizer.encode(text, recognizingAddedTokens: false)
    #expect(!plain.contains(user) && !plain.contains(tokenizer.endOfText!))
    #expect(tokenizer.decode(plain) == text)
    #expect(tokenizer.decode(tokenizer.encode(text), skippingSpecialTokens: true) == "ab")
  }

  @Test func `text can be printed token by token`() {
    let tokenizer = Self.tokenizers[1]
    var draws = Draws(4)
    for _ in 0..<100 {
      let text = HardText.make(40, using: &draws)
      var assembly = TextAssembly(tokenizer)
      let parts = tokenizer.encode(text).map { assembly.append($0) }
      #expect(assembly.finish() == "")
      #expect(areSameBytes(parts.joined(), text))
    }
    var assembly = TextAssembly(tokenizer)
    let heart = tokenizer.encode("❤", recognizingAddedTokens: false)
    #expect(heart.count > 1, "the character must be in pieces for this test")
    #expect(assembly.append(heart[0]) == "")
    #expect(assembly.finish() == "\u{fffd}")
  }

  @Test func `a long word without merges left takes no more than n log n`() {
    let tokenizer = Self.tokenizers[0]
    let text = String(repeating: "ab", count: 200_000)
    let start = clock()
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    #expect(Double(clock() - start) / Double(CLOCKS_PER_SEC) < 5)
  }

  @Test func `encoding is fast enough for one core`() throws {
    var draws = Draws(6)
    let text = HardText.zipf(bytes: 8_000_000, using: &draws)
    let tokenizer = Self.tokenizers[0]
    // Time of this process's threads, since the machine has other work; the best of three.
    var best = Double.infinity
    var count = 0
    for _ in 0..<3 {
      var usage = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &usage)
      let start = Double(usage.tv_sec) + Double(usage.tv_nsec) * 1e-9
      count = tokenizer.encode(text).count
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &usage)
      best = min(best, Double(usage.tv_sec) + Double(usage.tv_nsec) * 1e-9 - start)
    }
    let rate = Double(text.utf8.count) / best / 1e6
    print("encoding: \(Int(rate)) MB/s, \(count) tokens")
    #expect(rate >= 5)
  }
}
