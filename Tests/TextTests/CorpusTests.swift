// Corpora: what a part holds, exactly.

import Foundation
import Testing
import Text

@Suite struct CorpusTests {
  private let tokenizer = TokenizerTests.tokenizers[0]

  /// Scalars of a text.
  private func cut(_ text: String, _ range: Range<Int>) -> String {
    String(String.UnicodeScalarView(Array(text.unicodeScalars)[range]))
  }

  private func tokens(_ part: CorpusPart) -> [Int32] { part.window(at: 0, count: part.count) }

  @Test(arguments: [11, 100, 1009, 300_000])
  func `parts are the tenths by characters, each tokenised apart`(length: Int) throws {
    let folder = try TemporaryFolder()
    var draws = Draws(UInt64(length))
    let text = HardText.make(length, using: &draws)
    let path = try folder.write("book.txt", text)
    let corpus = try Corpus(path, tokenizer: tokenizer)
    let n = text.unicodeScalars.count
    let (eighth, ninth) = (n * 8 / 10, n * 9 / 10)
    let stretches = [0..<eighth, eighth..<ninth, ninth..<n].map { cut(text, $0) }
    let expected = stretches.map { tokenizer.encode($0) }
    #expect(tokens(corpus.training()) == expected[0] + expected[1])
    #expect(tokens(corpus.evaluation()) == expected[2])
    #expect(tokens(corpus.training(holdingOut: .ninthTenth)) == expected[0])
    #expect(tokens(corpus.evaluation(.ninthTenth)) == expected[1])
    #expect(tokens(corpus.whole) == expected.flatMap { $0 })
    #expect(corpus.training().characters == ninth)
    #expect(corpus.evaluation().characters == n - ninth)
    #expect(corpus.evaluation().bytes == stretches[2].utf8.count)
    #expect(corpus.whole.characters == n && corpus.whole.bytes == text.utf8.count)
    #expect(corpus.evaluation().context == (expected[0] + expected[1]).last)
    #expect(corpus.training().context == tokenizer.endOfText)
  }

  @Test func `documents are joined with the end of text, wherever they come from`() throws {
    let folder = try TemporaryFolder()
    let documents = ["alpha beta", "", "gamma\n\"δ\"", "x"]
    let all = documents.map { tokenizer.encode($0) }
    let joined = all.dropFirst().reduce(all[0]) { $0 + [tokenizer.endOfText!] + $1 }
    let lines = try documents.map {
      String(
        decoding: try JSONSerialization.data(withJSONObject: ["id": 1, "text": $0]), as: UTF8.self)
    }
    let jsonl = try folder.write("a.jsonl", lines.joined(separator: "\n"))
    let whole = try Corpus(jsonl, tokenizer: tokenizer).whole
    // Tenths cut words of so short a text; what they spell is the same.
    #expect(tokenizer.decode(tokens(whole)) == tokenizer.decode(joined))
    #expect(whole.characters == documents.reduce(0) { $0 + $1.unicodeScalars.count })

    _ = try folder.write("tree/b/2.txt", documents[2])
    _ = try folder.write("tree/a.txt", documents[0])
    _ = try folder.write("tree/c.jsonl", "{\"text\":\"x\"}\n")
    _ = try folder.write("tree/.hidden", [0])
    let tree = try Corpus("\(folder.path)/tree/", tokenizer: tokenizer).whole
    let end = "<|endoftext|>"
    #expect(
      tokenizer.decode(tokens(tree)) == documents[0] + end + documents[2] + end + documents[3])
  }

  @Test func `a corpus is tokenised once, and anew when text or tokenizer change`() throws {
    let folder = try TemporaryFolder()
    let cache = "\(folder.path)/cache"
    func files() throws -> [String: Date] {
      var dates: [String: Date] = [:]
      for name in try FileManager.default.contentsOfDirectory(atPath: cache) {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(cache)/\(name)")
        dates[name] = attributes[.modificationDate] as? Date
      }
      return dates
    }
    let path = try folder.write("book.txt", "one two three four five six seven")
    let first = try Corpus(path, tokenizer: tokenizer, cache: cache)
    let before = try files()
    let second = try Corpus(path, tokenizer: tokenizer, cache: cache)
    #expect(try files() == before && before.count == 1)
    #expect(first.fingerprint == second.fingerprint)
    // The same text elsewhere is the same corpus.
    let copy = try folder.write("other/novel.txt", "one two three four five six seven")
    #expect(try Corpus(copy, tokenizer: tokenizer, cache: cache).fingerprint == first.fingerprint)
    _ = try folder.write("book.txt", "one two three four five six sevem")
    #expect(try Corpus(path, tokenizer: tokenizer, cache: cache).fingerprint != first.fingerprint)
    let other = TokenizerTests.tokenizers[1]
    #expect(try Corpus(copy, tokenizer: other, cache: cache).fingerprint != first.fingerprint)
    #expect(try files().keys.allSatisfy { $0.hasSuffix(".tokens") })
  }

  @Test func `tokens go elsewhere where the first folder cannot be written`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("book.txt", "one two three four five six seven")
    // A file in the folder's place keeps even root from writing.
    let closed = try folder.write("closed", "x")
    let other = "\(folder.path)/runs/deep/.tokens"
    let first = try Corpus(path, tokenizer: tokenizer, cache: closed, otherwise: other)
    #expect(first.whole.tokenFile.hasPrefix("\(other)/book-"))
    let again = try Corpus(path, tokenizer: tokenizer, cache: closed, otherwise: other)
    #expect(tokens(again.whole) == tokens(first.whole))
    #expect(try FileManager.default.contentsOfDirectory(atPath: other).count == 1)
    // What is there already is taken, and made where it should be as soon as that can be written.
    let beside = "\(folder.path)/.tokens"
    #expect(
      try Corpus(path, tokenizer: tokenizer, otherwise: other).whole.tokenFile.hasPrefix(other))
    try FileManager.default.removeItem(atPath: other)
    #expect(
      try Corpus(path, tokenizer: tokenizer, otherwise: other).whole.tokenFile.hasPrefix(beside))
  }

  @Test func `many threads that open a new corpus get the same one`() async throws {
    let folder = try TemporaryFolder()
    var draws = Draws(8)
    let text = HardText.make(200_000, using: &draws)
    let path = try folder.write("book.txt", text)
    let tokenizer = tokenizer
    let counts = try await withThrowingTaskGroup(of: [Int32].self) { group in
      for _ in 0..<6 {
        group.addTask {
          let part = try Corpus(path, tokenizer: tokenizer).evaluation()
          return part.window(at: 0, count: part.count)
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(counts.count == 6 && Set(counts).count == 1)
    let left = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/.tokens")
    #expect(left.count == 1 && left[0].hasSuffix(".tokens"))
  }

  @Test func `ids beyond 65,535 are kept whole`() throws {
    let folder = try TemporaryFolder()
    let special = (0..<70_000).map { "<|\($0)|>" }
    var settings = TokenizerSettings(vocabularySize: 70_256)
    settings.specialTokens = special
    let large = try TokenizerTraining(settings).tokenizer()
    let text = "a<|69999|>b<|65536|>c<|1|>"
    let corpus = try Corpus(try folder.write("t.txt", text), tokenizer: large)
    // The last tenth cuts the last token's string; before it all are whole.
    let ids = tokens(corpus.whole)
    #expect(ids.contains(69_999) && ids.contains(65_536))
    #expect(large.decode(ids) == text)
  }
}
