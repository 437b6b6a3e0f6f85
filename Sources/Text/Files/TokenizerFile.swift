// Tokenizers on disk.

extension Tokenizer {
  /// Reads a `tokenizer.json` of the byte-level byte-pair kind, with GPT-2's pattern or Qwen's, or of
  /// whole words parted by white space; with or without normalisation form C. Throws `TextError` that names the component it cannot follow.
  public convenience init(contentsOf path: String) throws {
    try self.init(json: FileBytes.read(path), source: path)
  }

  /// The same from memory; `source` names it in errors.
  public convenience init(json: [UInt8], source: String) throws {
    self.init(try TokenizerJSON.model(from: json, source: source))
  }

  /// `tokenizer.json`, which the `tokenizers` library loads.
  public var json: [UInt8] { TokenizerJSON.text(of: model) }

  /// Writes `tokenizer.json`; an old file stays whole until the new one is.
  public func write(to path: String) throws {
    let output = try NewFile(replacing: path)
    let bytes = json
    try output.write(bytes.span.bytes)
    try output.finish()
  }
}
