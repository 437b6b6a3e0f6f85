// `apus tokenizer`: learn a tokenizer, and look at what it does to text.

import ArgumentParser
import Foundation
import Text

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Train a tokenizer, encode and decode text.",
    subcommands: [Train.self, Encode.self, Decode.self])

  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn a byte-pair tokenizer and write it as tokenizer.json.",
      discussion: """
        The last tenth of the corpus is left out, since quality is measured on it.
        """)

    @Argument(help: "UTF-8 text file, JSONL file with a text field, or a folder of such files.")
    var corpus: String

    @Option(help: "Entries in all: special tokens, 256 bytes, and merges.")
    var vocabulary = 4096

    @Option(help: "The file to write.")
    var output: String

    @Option(help: "How text is cut into words: gpt2 or qwen.")
    var pattern = Pattern.gpt2

    @Option(
      parsing: .upToNextOption, help: "Special tokens; they take the first ids, in this order.")
    var special = ["<|endoftext|>"]

    @Flag(help: "Bring text into Unicode normalisation form C first.")
    var nfc = false

    @Flag(help: "Learn from the last tenth, too.")
    var whole = false

    enum Pattern: String, ExpressibleByArgument, CaseIterable {
      case gpt2, qwen
    }

    func run() throws {
      let start = ContinuousClock.now
      var settings = TokenizerSettings(vocabularySize: vocabulary)
      settings.pattern = pattern == .gpt2 ? .gpt2 : .qwen
      settings.normalizes = nfc
      settings.specialTokens = special
      var training = try TokenizerTraining(settings)
      try training.append(corpus: corpus, isWhole: whole)
      let tokenizer = training.tokenizer()
      try tokenizer.write(to: output)
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let asked =
        tokenizer.vocabularySize == vocabulary
        ? "" : " of \(vocabulary) asked for: no pair is left that stands twice"
      say(
        "\(output): \(tokenizer.vocabularySize) entries\(asked), "
          + "\((seconds * 10).rounded() / 10) s")
    }
  }

  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the ids of a text, of a file, or of what comes in.")

    @Argument(help: "A tokenizer.json.")
    var tokenizer: String

    @Argument(help: "A UTF-8 text file; standard input where it is left out.")
    var file: String?

    @Option(help: "The text itself.")
    var text: String?

    @Flag(help: "Take the strings of special tokens as plain text.")
    var plain = false

    @Flag(help: "Print how many tokens there are, instead of them.")
    var count = false

    func validate() throws {
      if file != nil && text != nil { throw ValidationError("give a file or --text, not both") }
    }

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      let tokens = tokenizer.encode(try input(), recognizingAddedTokens: !plain)
      say(count ? "\(tokens.count)" : tokens.map(String.init).joined(separator: " "))
    }

    private func input() throws -> String {
      if let text { return text }
      let bytes =
        if let file {
          try FileBytes.read(file)
        } else {
          Array(FileHandle.standardInput.readDataToEndOfFile())
        }
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw TextError(file ?? "standard input", "is no valid UTF-8; accepted: UTF-8 text")
      }
      return text
    }
  }

  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of ids, given as arguments or coming in.")

    @Argument(help: "A tokenizer.json.")
    var tokenizer: String

    @Argument(help: "Ids; standard input where they are left out.")
    var ids: [String] = []

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      var words = ids
      if words.isEmpty {
        let input = FileHandle.standardInput.readDataToEndOfFile()
        words = String(decoding: input, as: UTF8.self)
          .split { $0.isWhitespace || $0 == "," }.map(String.init)
      }
      let tokens = try words.map { word in
        guard let id = Int32(word), (0..<Int32(tokenizer.vocabularySize)).contains(id) else {
          throw TextError(
            "id \(word)", "accepted: whole numbers from 0 to \(tokenizer.vocabularySize - 1)")
        }
        return id
      }
      say(tokenizer.decode(tokens))
    }
  }
}
