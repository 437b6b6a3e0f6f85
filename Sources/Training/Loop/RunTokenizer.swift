// The tokenizer of a run; where there is none yet, the command that makes it.

import Text

extension RunConfiguration {
  /// Reads `data.tokenizer`. Throws `TextError`, which for a missing file says how it is made.
  func readTokenizer() throws -> Tokenizer {
    let path = data.tokenizer
    guard Disk().exists(path) else {
      throw TextError(
        path,
        "No such file; to make it: apus tokenizer train \(Self.word(data.corpus)) "
          + "--vocabulary \(missingVocabulary) --output \(Self.word(path))")
    }
    return try Tokenizer(contentsOf: path)
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
