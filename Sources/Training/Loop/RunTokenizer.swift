// The tokenizer of a run: that of the checkpoint it starts from, else of its configuration; where there
// is none yet, the command that makes it.

import Text

extension RunConfiguration {
  /// Reads the tokenizer of `data.start`, or `data.tokenizer`. Throws `TextError`, which for a missing
  /// file says how it is made.
  public func readTokenizer() throws -> Tokenizer {
    if let own = try StartCheckpoint(self)?.tokenizer() { return own }
    let path = data.tokenizer
    guard Disk().exists(path) else {
      throw TextError(
        path,
        "No such file; to make it: apus tokenizer train \(Self.word(data.corpus)) "
          + "--vocabulary \(missingVocabulary) --output \(Self.word(path))")
    }
    return try Tokenizer(contentsOf: path)
  }

  /// Which vocabulary the model has: its own, or the tokenizer's where it is 0.
  public func vocabulary(for tokenizer: Tokenizer) throws -> Int {
    let wanted = model.vocabulary
    let size = tokenizer.vocabularySize
    guard wanted == 0 || wanted >= size else {
      throw SettingRangeError(
        field: "model.vocabulary", value: "\(wanted)",
        accepted: "\(size) or more, the size of \(data.tokenizer), or 0 to take it")
    }
    return wanted == 0 ? size : wanted
  }

  /// Entries that the missing tokenizer should have: what the model says; where it takes the
  /// tokenizer's size, the number at the end of the file's name (`kjv-8192.json`), or the default
  /// of the command that makes one.
  private var missingVocabulary: Int {
    if model.vocabulary > 0 { return model.vocabulary }
    let stem = Disk.name(of: data.tokenizer).prefix { $0 != "." }
    let digits = stem.reversed().prefix { $0.isASCII && $0.isNumber }.reversed()
    // 256 bytes and a special token are the least.
    return Int(String(digits)).flatMap { $0 > 256 ? $0 : nil } ?? 4096
  }

  /// A path as one word of a command line.
  private static func word(_ path: String) -> String {
    let isPlain = path.allSatisfy {
      $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+=:@%,".contains($0))
    }
    return isPlain ? path : "'\(path.replacing("'", with: "'\\''"))'"
  }
}
