// A toy task as the files that every stage reads: a tokenizer, and lines of JSON.

import Tasks
import Text
import Training

/// How much of a task is written.
struct TaskFiles {
  static let tokenizer = "tokenizer.json"
  static let demonstrations = "sft.jsonl"
  static let prompts = "prompts.jsonl"
  static let evaluation = "evaluation.jsonl"
  static let evaluationPrompts = "evaluation-prompts.jsonl"

  let task: any ToyTask
  var examples = 4000
  /// Training prompts without answers, other draws than those of the examples.
  var prompts = 4000
  /// Of prompts that no training sees.
  var evaluation = 500
  var seed: UInt64 = 1

  /// Names and bytes, in the order in which they are written.
  var contents: [(name: String, bytes: [UInt8])] {
    let source = PromptSource.training(seed: seed)
    let shown = (0..<examples).map { task.demonstration(source, index: $0) }
    let asked = (examples..<(examples + prompts)).map { task.prompt(source, index: $0) }
    let held = (0..<evaluation).map { task.demonstration(.evaluation, index: $0) }
    return [
      (Self.tokenizer, task.tokenizer.json),
      (Self.demonstrations, lines(shown.map(example))),
      (Self.prompts, lines(asked.map(prompt))),
      (Self.evaluation, lines(held.map(example))),
      (Self.evaluationPrompts, lines(held.map { prompt($0.prompt) })),
    ]
  }

  private func prompt(_ tokens: [Int32]) -> [(String, JSON)] {
    [("prompt", .string(task.vocabulary.text(of: tokens)))]
  }

  /// The stop token is no text: the stages put it behind a completion.
  private func example(_ shown: Demonstration) -> [(String, JSON)] {
    prompt(shown.prompt) + [
      ("completion", .string(task.vocabulary.text(of: Array(shown.answer.dropLast()))))
    ]
  }

  private func lines(_ objects: [[(String, JSON)]]) -> [UInt8] {
    objects.flatMap { Array((JSON.object(JSONObject($0)).compact + "\n").utf8) }
  }

  /// Writes all files: none takes its name before all are written. Throws `FileError` where one is
  /// there and must not be replaced.
  func write(to folder: String, replacing: Bool) throws {
    let contents = contents
    let disk = Disk()
    for (name, _) in contents where !replacing && disk.exists("\(folder)/\(name)") {
      throw FileError(
        "\(folder)/\(name)", "is there already; accepted: another folder, or --force to replace it")
    }
    try disk.makeFolder(folder)
    let files = try contents.map { name, bytes in
      let file = try WritableFile("\(folder)/\(name)", landing: .renamed)
      try bytes.withUnsafeBytes { try file.write($0) }
      return file
    }
    for file in files { try file.finish() }
  }
}

extension ToyTask {
  /// The words as a tokenizer: a text of prompt or answer becomes exactly the task's tokens.
  var tokenizer: Tokenizer {
    Tokenizer(
      words: vocabulary.names, unknown: Vocabulary.unknown, special: Set(Vocabulary.controlNames))
  }
}
