// Reads tokenizer.json: byte-level byte pairs and whole words; what is beyond is refused by name.

extension TokenizerJSON {
  /// The tokenizer that a file's bytes describe. `source` names it in errors.
  static func model(from bytes: [UInt8], source: String) throws -> TokenizerModel {
    let file = TokenizerComponent(try JSONValue(parsing: bytes, source: source), source, "")
    try file.allow([
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
      "post_processor", "decoder", "model",
    ])
    for name in ["truncation", "padding"] { try file.require(name, isOneOf: [.null]) }
    var options = TokenizerModel.Options()
    options.normalizes = try normalizes(file.child("normalizer"))
    try checkPostProcessor(file.child("post_processor"))
    let model = file.child("model")
    if model["type"] != nil { try model.requireType(["BPE", "WordLevel"]) }
    guard model.type != "WordLevel" else {
      return try wordLevel(model, of: file, options: options)
    }
    (options.pattern, options.addsPrefixSpace) = try preTokenizer(file.child("pre_tokenizer"))
    try file.child("decoder").requireType(["ByteLevel"])
    try model.allow([
      "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
      "byte_fallback", "ignore_merges", "vocab", "merges",
    ])
    try model.require("dropout", isOneOf: [.null, .integer(0), .number(0)])
    try model.require("unk_token", isOneOf: [.null])
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
      try model.require(name, isOneOf: [.null, .string("")])
    }
    try model.require("byte_fallback", isOneOf: [.null, .bool(false)])
    options.ignoresMerges = try model.flag("ignore_merges", default: false)
    let added = try addedTokens(file.child("added_tokens"))
    return try VocabularyReading(model, added: added).bytePairs(options)
  }

  /// Whole words: white space parts them, and stands between them when they are decoded.
  private static func wordLevel(
    _ model: TokenizerComponent, of file: TokenizerComponent, options: TokenizerModel.Options
  ) throws -> TokenizerModel {
    let words = file.child("pre_tokenizer")
    try words.requireType(["WhitespaceSplit"])
    try words.allow(["type"])
    try file.require("decoder", isOneOf: [.null])
    try model.allow(["type", "vocab", "unk_token"])
    var options = options
    options.pattern = .whitespace
    let added = try addedTokens(file.child("added_tokens"))
    return try VocabularyReading(model, added: added).words(options)
  }

  /// Whether normalisation form C is asked for.
  private static func normalizes(_ component: TokenizerComponent) throws -> Bool {
    if component.isNull { return false }
    try component.requireType(["NFC", "Sequence"], orNull: true)
    guard component.type == "Sequence" else {
      try component.allow(["type"])
      return true
    }
    try component.allow(["type", "normalizers"])
    return try component.children("normalizers").map(normalizes).contains(true)
  }

  private static func preTokenizer(
    _ component: TokenizerComponent
  ) throws -> (WordPattern, prefixSpace: Bool) {
    try component.requireType(["ByteLevel", "Sequence"])
    if component.type == "ByteLevel" {
      try checkByteLevel(component)
      try component.require("use_regex", isOneOf: [.null, .bool(true)])
      // The library's default where an old file leaves it out.
      return (.gpt2, try component.flag("add_prefix_space", default: true))
    }
    try component.allow(["type", "pretokenizers"])
    let parts = try component.children("pretokenizers")
    if parts.count == 1 { return try preTokenizer(parts[0]) }
    guard parts.count == 2 else {
      throw component.error("\(parts.count) pre-tokenizers; accepted: a Split, then a ByteLevel")
    }
    let (split, bytes) = (parts[0], parts[1])
    try split.requireType(["Split"])
    try split.allow(["type", "pattern", "behavior", "invert"])
    try split.require("behavior", isOneOf: [.string("Isolated")])
    try split.require("invert", isOneOf: [.null, .bool(false)])
    try bytes.requireType(["ByteLevel"])
    try checkByteLevel(bytes)
    try bytes.require("use_regex", isOneOf: [.bool(false)])
    try bytes.require("add_prefix_space", isOneOf: [.bool(false)])
    let known = [WordPattern.qwen, .qwen(digits: 3)]
    let expression = split.child("pattern")["Regex"]?.asString
    guard let pattern = known.first(where: { $0.regularExpression == expression }) else {
      throw split.child("pattern").error(
        "the pattern \(expression ?? "of another kind"); accepted as Regex: "
          + known.map(\.regularExpression).joined(separator: "  or  "))
    }
    return (pattern, false)
  }

  private static func checkByteLevel(_ component: TokenizerComponent) throws {
    try component.allow(["type", "add_prefix_space", "trim_offsets", "use_regex"])
  }

  /// Post-processors that add no token are accepted.
  private static func checkPostProcessor(_ component: TokenizerComponent) throws {
    if component.isNull { return }
    try component.requireType(["ByteLevel", "Sequence", "TemplateProcessing"], orNull: true)
    if component.type == "Sequence" {
      try component.children("processors").forEach(checkPostProcessor)
    }
    guard component.type == "TemplateProcessing" else { return }
    let steps = component["single"]?.asArray ?? []
    guard steps.count == 1, steps[0]["Sequence"]?["id"] == .string("A") else {
      let tokens = steps.compactMap { $0["SpecialToken"]?["id"]?.asString }
      throw component.error(
        "the template adds \(tokens.joined(separator: ", ")); accepted: one that adds no token")
    }
  }

  private static func addedTokens(_ component: TokenizerComponent) throws -> [AddedToken] {
    if component.isNull { return [] }
    return try component.elements().map { token in
      try token.allow([
        "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special",
      ])
      for name in ["single_word", "lstrip", "rstrip"] {
        try token.require(name, isOneOf: [.null, .bool(false)])
      }
      guard let id = token["id"]?.asInteger, (0..<Int(Int32.max)).contains(id) else {
        throw token.error("id is \(token["id"]?.kind ?? "missing"); accepted: a whole number")
      }
      guard let content = token["content"]?.asString, !content.isEmpty else {
        throw token.error("content must be a string that is not empty")
      }
      let isSpecial = try token.flag("special", default: false)
      return AddedToken(
        id: Int32(id), content: content, isSpecial: isSpecial,
        isNormalized: try token.flag("normalized", default: !isSpecial))
    }
  }
}
