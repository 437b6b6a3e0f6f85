// Corpora and tokenizers that cannot be learnt from.

import Foundation
import Testing

@Suite struct TextRefusalTests {
  /// A corpus: its file name, its bytes (nil: there is no such file), and what must be said.
  struct Corpus: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]?
    let says: [String]

    init(_ name: String, _ text: String?, says: String...) {
      self.name = name
      bytes = text.map { Array($0.utf8) }
      self.says = says
    }

    init(_ name: String, bytes: [UInt8], says: String...) {
      self.name = name
      self.bytes = bytes
      self.says = says
    }

    var testDescription: String { name }
  }

  static let corpora = [
    Corpus("missing.txt", nil, says: "No such file", "accepted: a UTF-8 text file"),
    Corpus("empty.txt", "", says: "holds no text"),
    Corpus("nul.txt", "one\0two", says: "byte 3", "NUL", "accepted: UTF-8 text"),
    Corpus("latin.txt", bytes: [0x63, 0x61, 0x66, 0xE9, 0x0A], says: "byte 3", "0xE9", "UTF-8"),
    Corpus("cut.txt", bytes: [0x61, 0xE2, 0x82], says: "byte 1", "ends within", "UTF-8"),
    Corpus("short.txt", "too short", says: "too few", "sequence of 32", "data.sequenceLength"),
    Corpus("number.jsonl", "{\"text\":\"a\"}\n{\"text\":3}\n", says: "line 2", "a string"),
    Corpus("fieldless.jsonl", "{\"words\":\"a\"}\n", says: "line 1", "field text", "a string"),
    Corpus("array.jsonl", "[\"a\"]\n", says: "line 1", "an object"),
    Corpus("cut.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"\n", says: "line 2", "no valid JSON"),
  ]

  @Test(arguments: corpora)
  func `a corpus that is no text is refused, with the place`(corpus: Corpus) throws {
    let workshop = try Workshop.shared()
    let path = "\(workshop.fresh("corpus"))/\(corpus.name)"
    if let bytes = corpus.bytes { try workshop.write(path, bytes) }
    expectRefusal(
      try workshop.run(workshop.training("never", ["data.corpus=\(path)"])),
      says: [path] + corpus.says)
    #expect(try !workshop.names("runs").contains("never"))
  }

  @Test func `a folder without files is no corpus`() throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("corpus")
    try workshop.write("\(folder)/inner/.hidden", "")
    expectRefusal(
      try workshop.run(workshop.training("never", ["data.corpus=\(folder)/inner"])),
      says: ["\(folder)/inner", "holds no", "accepted"])
  }

  @Test func `a damaged file of tokens is named`() throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("corpus")
    try workshop.write("\(folder)/c.txt", workshop.bytes("corpus.txt"))
    let arguments = workshop.training(folder, ["data.corpus=\(folder)/c.txt", "training.steps=1"])
    try workshop.succeed(arguments)
    let tokens = try #require(
      workshop.names("\(folder)/.tokens").first { $0.hasSuffix(".tokens") })
    let path = "\(folder)/.tokens/\(tokens)"
    try workshop.write(path, Array(workshop.bytes(path).dropLast(7)))
    expectRefusal(try workshop.run(arguments), says: [path, "damaged", "remove it"])
  }

  @Test func `what a killed tokenisation left goes with the next`() throws {
    let workshop = try Workshop.shared()
    var folder = ""
    func left(_ ending: String) -> [String] {
      ((try? workshop.names("\(folder)/.tokens")) ?? []).filter { $0.hasSuffix(ending) }
    }
    var arguments: [String] = []
    // It may be over before this process gets to kill it: then once more.
    for _ in 0..<10 where left(".new").isEmpty {
      folder = workshop.fresh("killed")
      let text = try workshop.bytes("corpus.txt")
      try workshop.write("\(folder)/c.txt", Array(repeatElement(text, count: 40).joined()))
      arguments = workshop.training(folder, ["data.corpus=\(folder)/c.txt", "training.steps=1"])
      let child = try workshop.start(Ranks.one.words(arguments))
      while child.isRunning && left(".new").isEmpty { usleep(500) }
      child.send(SIGKILL)
      _ = child.wait()
    }
    #expect(left(".new").count == 1)
    try workshop.succeed(arguments)
    #expect(left(".new").isEmpty && left(".tokens").count == 1)
  }

  @Test func `tokens of a corpus whose folder cannot be written go beside the runs`() throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("closed")
    try workshop.write("\(folder)/c.txt", workshop.bytes("corpus.txt"))
    // A file in its place keeps even root from making the folder.
    try workshop.write("\(folder)/.tokens", "")
    let settings = ["data.corpus=\(folder)/c.txt", "run.folder=\(folder)/runs", "training.steps=1"]
    let run = try workshop.succeed(workshop.training("r", settings))
    #expect(run.output.contains("tokens: kept in \(folder)/runs/.tokens"))
    #expect(try workshop.names("\(folder)/runs") == [".tokens", "r"])
    try workshop.succeed(["evaluate", "\(folder)/runs/r"])
    let list = try workshop.succeed(["checkpoint", "list", "--folder", "\(folder)/runs"]).output
    #expect(!list.contains(".tokens"))
    try workshop.write("\(folder)/runs2/.tokens", "")
    expectRefusal(
      try workshop.run(
        workshop.training("r", [settings[0], "run.folder=\(folder)/runs2"])),
      says: ["\(folder)/.tokens", "\(folder)/runs2/.tokens", "cannot be written"])
  }

  @Test(arguments: [
    ("words-300.json", [], "300"), ("words.json", ["model.vocabulary=310"], "310"),
    ("of two words.json", [], "4096"),
  ])
  func `a missing tokenizer is made by the command that the refusal gives`(
    name: String, settings: [String], vocabulary: String
  ) throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("tokenizer")
    try workshop.write("\(folder)/.keep", "")
    let path = "\(folder)/\(name)"
    let training = workshop.training(
      folder, ["data.tokenizer=\(path)", "training.steps=1"] + settings)
    let refused = try workshop.run(training)
    expectRefusal(
      refused,
      says: [path, "No such file", "apus tokenizer train corpus.txt --vocabulary \(vocabulary)"])
    let command = try #require(
      refused.errors.split(separator: "\n").first?.components(separatedBy: "to make it: apus ").last
    )
    let made = try workshop.start(["bash", "-c", "\"$0\" \(command)", Program.apus]).wait()
    #expect(made.status == 0, "\(command): \(made.errors)")
    try workshop.succeed(training)
  }

  /// tokenizer.json of other kinds.
  static let tokenizers: [(name: String, json: String?, says: String)] = [
    ("missing", nil, "No such file"),
    ("empty", "", "JSON"),
    ("text", "once upon a time", "no valid JSON"),
    ("array", "[]", "accepted"),
    (
      "word pieces",
      #"{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"decoder":{"type":"ByteLevel"},"added_tokens":[],"model":{"type":"WordPiece","vocab":{"a":0}}}"#,
      "WordPiece"
    ),
  ]

  @Test(arguments: tokenizers)
  func `a tokenizer that is none, or of another kind, is refused`(
    name: String, json: String?, says: String
  ) throws {
    let workshop = try Workshop.shared()
    let path = "\(workshop.fresh("tokenizer"))/tokenizer.json"
    if let json { try workshop.write(path, json) }
    expectRefusal(
      try workshop.run(workshop.training("never", ["data.tokenizer=\(path)"])), says: [path, says])
  }

  /// What is read without end, or waited for without end.
  @Test(arguments: ["/dev/zero", "pipe", "folder"])
  func `what is no file is neither configuration nor tokenizer nor text`(what: String) throws {
    let workshop = try Workshop.shared()
    let parent = workshop.fresh("odd")
    try workshop.write("\(parent)/folder/inner/.hidden", "")
    #expect(mkfifo(workshop.path("\(parent)/pipe"), 0o600) == 0)
    let path = what.hasPrefix("/") ? what : "\(parent)/\(what)"
    expectRefusal(
      try workshop.run(["pretrain", path]), status: 64, says: [path, "not a regular file", "YAML"])
    expectRefusal(
      try workshop.run(workshop.training("never", ["data.tokenizer=\(path)"])),
      says: [path, "not a regular file"])
    expectRefusal(
      try workshop.run(["tokenizer", "encode", "tokenizer.json", path]),
      says: [path, "not a regular file"])
    // A folder may be a corpus; this one holds no file.
    expectRefusal(
      try workshop.run(workshop.training("never", ["data.corpus=\(path)"])),
      says: [path, what == "folder" ? "holds no files" : "neither a file nor a folder"])
    expectRefusal(
      try workshop.run(["tokenizer", "train", path, "--output", "never.json"]),
      says: [path, what == "folder" ? "holds no files" : "neither a file nor a folder"])
  }

  static let commands = [
    Refusal(
      "training on nothing", ["tokenizer", "train", "none.txt", "--output", "x.json"],
      says: ["none.txt", "No such file"]),
    Refusal(
      "fewer entries than bytes",
      ["tokenizer", "train", "corpus.txt", "--vocabulary", "3", "--output", "x.json"],
      says: ["vocabulary 3", "accepted: 257"]),
    Refusal(
      "writing below a file", ["tokenizer", "train", "corpus.txt", "--output", "tiny.yaml/x.json"],
      says: ["tiny.yaml/x.json", "cannot be written"]),
    Refusal(
      "encoding bytes that are no text",
      [
        "tokenizer", "encode", "tokenizer.json",
        "\(Workshop.lastStep)/model-00001-of-00001.safetensors",
      ],
      says: ["model-00001-of-00001.safetensors", "no valid UTF-8"]),
    Refusal(
      "decoding a token that there is not", ["tokenizer", "decode", "tokenizer.json", "300"],
      says: ["300", "0 to 299"]),
    Refusal(
      "evaluating on a text that is missing",
      ["evaluate", Workshop.run, "--corpus", "none.txt"], says: ["none.txt", "No such file"]),
  ]

  @Test(arguments: commands)
  func `a command refuses text that it cannot read or write`(refusal: Refusal) throws {
    let outcome = try Workshop.shared().run(refusal.arguments)
    expectRefusal(outcome, status: refusal.status, says: refusal.says)
  }
}
