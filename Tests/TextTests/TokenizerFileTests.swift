// tokenizer.json: what is beyond byte-level byte pairs is refused by name.

import Foundation
import Testing
import Text

@Suite struct TokenizerFileTests {
  /// A small file with one part of it replaced.
  private func file(_ change: (inout [String: Any]) -> Void) throws -> [UInt8] {
    let json = Data(TokenizerTests.tokenizers[1].json)
    var root = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    change(&root)
    return Array(try JSONSerialization.data(withJSONObject: root))
  }

  @Test func `what a killed writer left of a file goes with the next, and nothing else`() throws {
    let folder = try TemporaryFolder()
    let others = [
      "t.json.78-2e.new", "t.json.new", "t.json.77-1f", "t.json.77-1g.new", "t.json.x-1f.new",
      "u.json.77-1f.new",
    ]
    for name in others { _ = try folder.write(name, "half") }
    _ = try folder.write("t.json.76-ffffffff.new", "half")
    // One is being written.
    let descriptor = open("\(folder.path)/\(others[0])", O_WRONLY)
    defer { close(descriptor) }
    #expect(flock(descriptor, LOCK_EX) == 0)
    try TokenizerTests.tokenizers[0].write(to: "\(folder.path)/t.json")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        == (others + ["t.json"]).sorted())
  }

  private func refusal(_ json: [UInt8]) -> String {
    do {
      _ = try Tokenizer(json: json, source: "tokenizer.json")
      return "accepted"
    } catch {
      return String(describing: error)
    }
  }

  @Test(arguments: [
    ("normalizer", #"{"type":"Lowercase"}"#, "Lowercase"),
    (
      "normalizer", #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Strip"}]}"#, "Strip"
    ),
    ("pre_tokenizer", #"{"type":"Metaspace","replacement":"_"}"#, "Metaspace"),
    ("pre_tokenizer", "null", "ByteLevel"),
    (
      "pre_tokenizer", #"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#,
      "use_regex"
    ),
    (
      "pre_tokenizer",
      #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#,
      #"\w+"#
    ),
    ("decoder", #"{"type":"Metaspace"}"#, "Metaspace"),
    ("decoder", "null", "ByteLevel"),
    ("truncation", #"{"max_length":5}"#, "truncation"),
    (
      "post_processor",
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}"#,
      "<s>"
    ),
    ("model", #"{"type":"Unigram","vocab":[]}"#, "Unigram"),
    ("model", #"{"type":"BPE","byte_fallback":true,"vocab":{},"merges":[]}"#, "byte_fallback"),
    ("model", #"{"type":"BPE","unk_token":"<unk>","vocab":{},"merges":[]}"#, "<unk>"),
    ("model", #"{"type":"BPE","dropout":0.1,"vocab":{},"merges":[]}"#, "dropout"),
    (
      "model", #"{"type":"BPE","vocab":{"<|endoftext|>":0,"<|user|>":1,"a":2},"merges":[]}"#,
      "256 bytes"
    ),
    ("model", #"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#, "-1"),
    ("added_tokens", #"[{"id":0,"content":"<|endoftext|>","lstrip":true}]"#, "lstrip"),
    ("added_tokens", #"[{"id":7,"content":"<|endoftext|>"}]"#, "the id 7"),
    ("colour", "1", "colour"),
  ])
  func `an unsupported component is refused by name`(
    name: String, value: String, word: String
  ) throws {
    let parsed = try JSONSerialization.jsonObject(
      with: Data(value.utf8), options: .fragmentsAllowed)
    let words = refusal(try file { $0[name] = parsed })
    #expect(words.contains(word) && words.contains(name), "\(words)")
    #expect(words.contains("accepted") || words.contains("vocab"), "\(words)")
  }

  @Test func `older and newer spellings of the same are read`() throws {
    let expected = TokenizerTests.tokenizers[1]
    let text = "What's 12 in\n\n roman? <|user|>"
    let pairs = try file { root in
      guard var model = root["model"] as? [String: Any], let merges = model["merges"] as? [String]
      else { return }
      model["merges"] = merges.map { $0.split(separator: " ").map(String.init) }
      model["continuing_subword_prefix"] = ""
      model["end_of_word_suffix"] = ""
      model["type"] = nil
      model["fuse_unk"] = nil
      root["model"] = model
      root["post_processor"] = ["type": "ByteLevel", "trim_offsets": false]
    }
    let read = try Tokenizer(json: pairs, source: "pairs")
    #expect(read.encode(text) == expected.encode(text))
    #expect(read.fingerprint == expected.fingerprint)
  }

  @Test func `a merge of what is not in the vocabulary is refused with its number`() throws {
    let json = try file { root in
      guard var model = root["model"] as? [String: Any] else { return }
      model["merges"] = ["a b", "zq zq"]
      model["merges"] = ["zq zq"]
      root["model"] = model
    }
    let words = refusal(json)
    #expect(words.contains("model.merges[0]") && words.contains("zq"), "\(words)")
  }

  @Test func `a file cut short anywhere is refused`() {
    let json = TokenizerTests.tokenizers[0].json
    for length in stride(from: 0, to: json.count - 1, by: 97) {
      let words = refusal(Array(json.prefix(length)))
      #expect(words.contains("tokenizer.json: no valid JSON"), "\(length): \(words)")
    }
  }

  @Test func `a damaged file is refused or read, and never traps`() {
    let json = TokenizerTests.tokenizers[0].json
    var draws = Draws(31)
    var refused = 0
    for _ in 0..<400 {
      var damaged = json
      for _ in 0..<Int.random(in: 1...3, using: &draws) {
        damaged[Int.random(in: 0..<damaged.count, using: &draws)] = UInt8.random(
          in: 0...255, using: &draws)
      }
      if refusal(damaged) != "accepted" { refused += 1 }
    }
    #expect(refused > 100)
  }
}
