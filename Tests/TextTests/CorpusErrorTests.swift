// What is wrong with a corpus is said, with the place.

import Foundation
import Testing
import Text

@Suite struct CorpusErrorTests {
  private let tokenizer = TokenizerTests.tokenizers[0]

  /// The words in which a corpus is refused.
  private func refusal(_ path: String, cache: String? = nil) -> String {
    errorDescription { try Corpus(path, tokenizer: tokenizer, cache: cache) }
  }

  private func errorDescription(_ body: () throws -> Corpus) -> String {
    do {
      _ = try body()
      return "accepted"
    } catch {
      return String(describing: error)
    }
  }

  @Test func `a missing or empty corpus is refused`() throws {
    let folder = try TemporaryFolder()
    let missing = refusal("\(folder.path)/none.txt")
    #expect(missing.contains("none.txt") && missing.contains("No such file"))
    #expect(refusal(try folder.write("e.txt", "")).contains("holds no text"))
    #expect(refusal(try folder.write("e.jsonl", "")).contains("holds no text"))
    #expect(refusal(try folder.write("f.jsonl", "{\"text\":\"\"}\n")).contains("holds no text"))
    _ = try folder.write("folder/.hidden", "x")
    #expect(refusal("\(folder.path)/folder").contains("holds no files"))
    _ = try folder.write("folder/empty.txt", "")
    #expect(refusal("\(folder.path)/folder").contains("empty.txt"))
  }

  @Test(arguments: [0, 7, 8, 1_048_575, 1_048_576, 1_500_000])
  func `what is no UTF-8 text is refused with its byte`(offset: Int) throws {
    let folder = try TemporaryFolder()
    let before = [UInt8](repeating: 0x61, count: offset)
    let wrong: [([UInt8], String)] = [
      ([0], "NUL"), ([0xff], "0xFF"), ([0xc3, 0x28], "0xC3"), ([0xc0, 0x80], "0xC0"),
      ([0xed, 0xa0, 0x80], "0xED"), ([0xf4, 0x90, 0x80, 0x80], "0xF4"), ([0x80], "0x80"),
      ([0xe2, 0x82], "ends within"),
    ]
    for (bytes, word) in wrong {
      let rest = word == "ends within" ? [] : [UInt8](repeating: 0x62, count: 20)
      let words = refusal(try folder.write("t.txt", before + bytes + rest))
      #expect(words.contains("t.txt, byte \(offset):") && words.contains(word), "\(words)")
    }
  }

  @Test(arguments: [
    ("{\"text\":\"a\"}\n{\"text\":3}\n", "line 2, field text"),
    ("{\"text\":\"a\"}\n{\"body\":\"b\"}\n", "line 2, field text"),
    ("{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n", "line 2"),
    ("{\"text\":\"a\"}\n[\"b\"]\n", "line 2"),
    ("{\"text\":\"a\"\n", "line 1"),
    ("{\"text\":\"a\",\"text\":\"b\"}\n", "twice"),
    ("{\"text\":\"a\\u0000\"}\n", "line 1, field text"),
    ("{\"text\":\"\\ud800\"}\n", "surrogate"),
    ("{\"text\":\"a\"} x\n", "line 1"),
  ])
  func `a bad line is refused with its number`(lines: String, word: String) throws {
    let folder = try TemporaryFolder()
    let words = refusal(try folder.write("t.jsonl", lines))
    #expect(words.contains("t.jsonl, line") && words.contains(word), "\(words)")
  }

  @Test func `a byte that is no UTF-8 in JSONL is refused with its place in the file`() throws {
    let folder = try TemporaryFolder()
    let line = Array("{\"text\":\"abc\"}\n".utf8)
    let words = refusal(try folder.write("t.jsonl", line + [0x7b, 0xff]))
    #expect(words.contains("byte \(line.count + 1):"), "\(words)")
  }

  @Test func `a cache that cannot be written is refused`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("t.txt", "some text")
    let file = try folder.write("file", "x")
    let words = refusal(path, cache: "\(file)/cache")
    #expect(words.contains("folder for tokens") && words.contains("\(file)/cache"), "\(words)")
    #expect(refusal(path, cache: "/proc/self/fdinfo").contains("cannot be"))
    let both = errorDescription {
      try Corpus(path, tokenizer: tokenizer, cache: "\(file)/cache", otherwise: "\(file)/other")
    }
    #expect(both.hasPrefix("\(file)/cache: the folder for tokens cannot be made: Not a directory"))
    #expect(both.contains("; \(file)/other: the folder for tokens"))
  }

  @Test func `a damaged token file is refused`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("t.txt", "some text to be kept")
    _ = try Corpus(path, tokenizer: tokenizer)
    let cache = "\(folder.path)/.tokens"
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: cache).first)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(cache)/\(name)"))
    for damaged in [bytes.dropLast(), bytes + [0], Data([0x58]) + bytes.dropFirst(), Data()] {
      try damaged.write(to: URL(fileURLWithPath: "\(cache)/\(name)"))
      #expect(refusal(path).contains("is damaged"))
    }
  }

  @Test func `a corpus shorter than a sequence is refused with both numbers`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("t.txt", "short")
    let part = try Corpus(path, tokenizer: tokenizer).training()
    do {
      _ = try TrainingSampler(part, sequenceLength: 64, seed: 1)
      Issue.record("accepted")
    } catch {
      let words = String(describing: error)
      #expect(words.contains("\(part.count) tokens") && words.contains("65"), "\(words)")
    }
  }
}
