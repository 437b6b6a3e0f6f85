// `apus dump`, `import` and `export` with folders, batches and settings that they cannot take.

import Foundation
import Testing
import Training

@Suite struct ModelFolderRefusalTests {
  /// A change to the tensors of a good folder.
  struct Change: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let says: [String]
    let make: @Sendable (inout TensorFile) -> Void

    init(_ what: String, says: String..., make: @escaping @Sendable (inout TensorFile) -> Void) {
      testDescription = what
      self.says = says
      self.make = make
    }
  }

  static let changes = [
    Change("a tensor is missing", says: "1 missing: model.norm.weight") { file in
      file.tensors.removeAll { $0.name == "model.norm.weight" }
    },
    Change("a tensor is left over", says: "1 left over: model.extra") { file in
      file.add("model.extra", [1], [1])
    },
    Change("a shape is another", says: "lm_head.weight", "[9600]", "[300, 32] is wanted") { file in
      let index = file.tensors.firstIndex { $0.name == "lm_head.weight" }!
      file.tensors[index].shape = [9600]
    },
    Change("a shape and its bytes disagree", says: "lm_head.weight") { file in
      let index = file.tensors.firstIndex { $0.name == "lm_head.weight" }!
      file.tensors[index].shape = [301, 32]
    },
    Change("a type is unknown", says: "lm_head.weight", "\"F12\"", "accepted") { file in
      let index = file.tensors.firstIndex { $0.name == "lm_head.weight" }!
      file.tensors[index].type = "F12"
    },
  ]

  @Test(arguments: changes)
  func `a folder whose tensors do not fit is refused, naming the tensor`(change: Change) throws {
    let workshop = try Workshop.shared()
    let folder = try workshop.copy("exported", as: "folder")
    var file = try TensorFile(workshop.bytes("\(folder)/model.safetensors"))
    change.make(&file)
    try workshop.write("\(folder)/model.safetensors", file.bytes)
    let batch = try self.batch { _ in }
    let output = workshop.fresh("never")
    expectRefusal(
      try workshop.run(["dump", "--model", folder, "--batch", batch, "--output", output]),
      says: [folder] + change.says)
    expectRefusal(
      try workshop.run(["import", folder, "--name", output, "--runs", "runs"]),
      says: [folder] + change.says)
    #expect(try !workshop.names(".").contains(output))
    #expect(try !workshop.names("runs").contains(output))
  }

  @Test(arguments: [0, 7, 100, -1])
  func `weights cut short are refused`(length: Int) throws {
    let workshop = try Workshop.shared()
    let folder = try workshop.copy("exported", as: "folder")
    let bytes = try workshop.bytes("\(folder)/model.safetensors")
    try workshop.write(
      "\(folder)/model.safetensors",
      Array(bytes.prefix(length < 0 ? bytes.count + length : length)))
    expectRefusal(
      try workshop.run([
        "dump", "--model", folder, "--batch", batch { _ in }, "--output", "never",
      ]), says: ["\(folder)/model.safetensors"])
  }

  /// A batch of two sequences of four tokens, changed.
  private func batch(_ change: (inout TensorFile) -> Void) throws -> String {
    let workshop = try Workshop.shared()
    var file = TensorFile()
    file.add("input_ids", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    file.add("labels", [2, 4], [1, 2, 3, 4, 5, 6, 7, -100])
    change(&file)
    let name = workshop.fresh("batch") + ".safetensors"
    try workshop.write(name, file.bytes)
    return name
  }

  static let batches = [
    Change("no labels", says: "no tensor \"labels\"") { $0.tensors.removeLast() },
    Change("a token beyond the vocabulary", says: "input_ids[0, 1] is 300", "0 to 299") { file in
      file.tensors[0].bytes.replaceSubrange(8..<10, with: [0x2C, 0x01])
    },
    Change("a negative token", says: "input_ids[0, 0] is -1", "0 to 299") { file in
      file.tensors[0].bytes.replaceSubrange(0..<8, with: Array(repeating: 0xFF, count: 8))
    },
    Change("a label beyond the vocabulary", says: "labels[1, 0] is 300", "-100") { file in
      file.tensors[1].bytes.replaceSubrange(32..<34, with: [0x2C, 0x01])
    },
    Change("one dimension", says: "input_ids", "[8]", "[sequences, length]") { file in
      file.tensors[0].shape = [8]
    },
    Change("no sequence", says: "input_ids", "[0, 4]") { file in
      for index in file.tensors.indices {
        file.tensors[index].shape = [0, 4]
        file.tensors[index].bytes = []
      }
    },
    Change("tokens that are fractions", says: "input_ids", "F64", "integer") { file in
      file.tensors[0].type = "F64"
    },
    Change("a mask of other values", says: "attention_mask", "0 and 1") { file in
      file.add("attention_mask", [2, 4], [1, 1, 1, 2, 1, 1, 1, 1])
    },
    Change("a mask with holes", says: "attention_mask row 1", "at the ends") { file in
      file.add("attention_mask", [2, 4], [1, 1, 1, 0, 1, 0, 1, 1])
    },
  ]

  @Test(arguments: batches)
  func `a batch that cannot be computed is refused with place and value`(change: Change) throws {
    let workshop = try Workshop.shared()
    let batch = try batch(change.make)
    expectRefusal(
      try workshop.run(["dump", "--model", "exported", "--batch", batch, "--output", "never"]),
      says: [batch] + change.says)
  }

  /// Changes to config.json: what is replaced by what, and what must be said.
  static let families: [(from: String, to: String, says: [String])] = [
    ("\"mixtral\"", "\"llama\"", ["model_type is \"llama\"", "mixtral", "olmoe", "qwen3_moe"]),
    ("\"silu\"", "\"gelu\"", ["hidden_act is \"gelu\"", "silu"]),
    ("\"hidden_size\": 32", "\"hidden_size\": \"wide\"", ["hidden_size", "an integer"]),
    ("\"hidden_size\": 32", "\"hidden_size\": 1e30", ["hidden_size", "an integer"]),
    ("\"hidden_size\": 32", "\"hidden_size\": 1000000000", ["parameters", "GB of memory"]),
    (
      "\"hidden_size\": 32", "\"hidden_size\": 4611686018427387904",
      ["parameters", "of memory"]
    ),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1", ["model.layers is -1", "1 or more"]),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", ["missing", "model.layers.2."]),
    ("\"sliding_window\": null", "\"sliding_window\": 4", ["sliding_window is 4", "null"]),
    (
      "\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"", ["rope_type is \"yarn\"", "default"]
    ),
    ("\"hidden_size\"", "\"hidden\"", ["hidden_size", "an integer"]),
    ("{", "", ["config.json"]),
  ]

  @Test(arguments: families.indices)
  func `a config.json that means another computation is refused`(index: Int) throws {
    let (from, to, says) = Self.families[index]
    let workshop = try Workshop.shared()
    let folder = try workshop.copy("exported", as: "folder")
    let config = String(decoding: try workshop.bytes("\(folder)/config.json"), as: UTF8.self)
    let range = try #require(config.range(of: from))
    try workshop.write("\(folder)/config.json", config.replacingCharacters(in: range, with: to))
    let name = workshop.fresh("never")
    let outcome = try workshop.run(["import", folder, "--name", name, "--runs", "runs"])
    let isTooLarge = says.contains("parameters")
    expectRefusal(
      outcome, status: isTooLarge ? 64 : 1, says: isTooLarge ? says : [folder] + says)
    #expect(try !workshop.names("runs").contains(name))
  }

  @Test func `a name that is taken, or none, is refused on import`() throws {
    let workshop = try Workshop.shared()
    for (name, runs, says) in [
      ("tiny", "runs", "is there already"), ("a/b", "runs", "no plain file name"),
      ("new", "tiny.yaml", "cannot make the folder"),
    ] {
      expectRefusal(
        try workshop.run(["import", "exported", "--name", name, "--runs", runs]), says: [says])
    }
  }

  @Test func `a model that came without a tokenizer reads no text`() throws {
    let workshop = try Workshop.shared()
    let folder = try workshop.copy("exported", as: "folder")
    try workshop.remove("\(folder)/tokenizer.json")
    let name = workshop.fresh("mute")
    try workshop.succeed(["import", folder, "--name", name, "--runs", "runs"])
    expectRefusal(
      try workshop.run(["evaluate", "runs/\(name)", "--corpus", "corpus.txt"]),
      says: ["runs/\(name)", "has no tokenizer", "accepted"])
    expectRefusal(
      try workshop.run(["generate", "runs/\(name)", "--prompt", "the"]), status: 64,
      says: ["no tokenizer", "--tokens"])
    let tokens = try workshop.succeed(
      ["generate", "runs/\(name)", "--tokens", "1,2", "--length", "3"]
    ).output
    #expect(tokens.hasPrefix("1,2,"))
  }

  /// A tokenizer.json that cannot be taken along (nil: one of more entries than the model's), and what
  /// is said of it.
  static let tokenizers: [(json: String?, says: String)] = [
    ("once upon a time", "no valid JSON"), (TextRefusalTests.tokenizers.last?.json, "WordPiece"),
    (nil, "has 310 entries, the model 300; accepted: 300 at most"),
  ]

  @Test(arguments: tokenizers)
  func `a tokenizer that no stage could start with is refused, or left out`(
    json: String?, says: String
  ) throws {
    let workshop = try Workshop.shared()
    let folder = try workshop.copy("exported", as: "folder")
    let path = "\(folder)/tokenizer.json"
    if let json {
      try workshop.write(path, json)
    } else {
      try workshop.succeed([
        "tokenizer", "train", "corpus.txt", "--vocabulary", "310", "--output", path,
      ])
    }
    let name = workshop.fresh("never")
    let words = ["import", folder, "--name", name, "--runs", "runs"]
    expectRefusal(try workshop.run(words), says: [path, says, "--no-tokenizer"])
    #expect(try !workshop.names("runs").contains(name))
    try workshop.succeed(words + ["--no-tokenizer"])
    #expect(try workshop.bytes("runs/\(name)/step-00000000/tokenizer.json").isEmpty)
    // A stage that starts from it takes the configuration's.
    try workshop.succeed(
      workshop.training("\(name)-on", ["data.start=runs/\(name)", "training.steps=1"]))
  }

  @Test func `numbers are continued though the checkpoint's tokenizer cannot be read`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("foreign")
    let staging = try CheckpointStore(folder: workshop.path("runs"), run: name).begin(step: 20)
    try staging.prepare()
    let files = try CheckpointFolder(path: workshop.path(Workshop.lastStep)).files
    try staging.commit(
      files.map { file in
        let own = try workshop.bytes("\(Workshop.lastStep)/\(file.name)")
        return try staging.write(
          file.name, file.name == "tokenizer.json" ? Array("{}".utf8) : own)
      })
    expectRefusal(
      try workshop.run(["generate", "runs/\(name)", "--prompt", "the"]),
      says: ["runs/\(name)/step-00000020/tokenizer.json", "accepted"])
    let tokens = try workshop.succeed(
      ["generate", "runs/\(name)", "--tokens", "1,2", "--length", "3"]
    ).output
    #expect(tokens.hasPrefix("1,2,"))
  }

  /// Settings that none of the three families has.
  static let settings = [
    "model.router.sharedExperts=1", "model.router.score=sigmoid",
    "model.router.learnedTemperature=true", "model.router.biasRate=0.01",
    "model.router.renormalise=false", "model.attentionBias=true", "model.clipQKV=8",
  ]

  @Test func `settings that no family has are refused on export, all by name`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("odd")
    try workshop.succeed(workshop.training(name, Self.settings + ["training.steps=1"]))
    let folder = workshop.fresh("never")
    expectRefusal(
      try workshop.run(["export", "runs/\(name)", folder]),
      says: ["mixtral"] + Self.settings.map { String($0.prefix { $0 != "=" }) })
    #expect(try !workshop.names(".").contains(folder))
  }
}
