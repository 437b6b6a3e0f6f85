// A task's texts through the tokenizer that is made of its words: exactly the task's own tokens.

import Tasks
import Testing
import Text

@Suite struct `Tasks as text` {
  static let tasks = `All tasks`.tasks + [SecretTask(phrasing: .all, reply: .telling)]

  private func tokenizer(_ vocabulary: Vocabulary) -> Tokenizer {
    Tokenizer(
      words: vocabulary.names, unknown: Vocabulary.unknown,
      special: Set(Vocabulary.controlNames))
  }

  @Test(arguments: tasks.indices)
  func `a line of prompt and completion becomes the task's tokens, its stop included`(
    _ place: Int
  ) throws {
    let task = Self.tasks[place]
    let template = try ChatTemplate(tokenizer(task.vocabulary), source: task.name)
    #expect(template.stop == Vocabulary.end && template.padding == Vocabulary.padding)
    for index in 0..<300 {
      for source in [PromptSource.training(seed: 3), .evaluation] {
        let shown = task.demonstration(source, index: index)
        let prompt = Passage.text(task.vocabulary.text(of: shown.prompt))
        #expect(try template.encodePrompt(prompt) == shown.prompt)
        let answer = task.vocabulary.text(of: Array(shown.answer.dropLast()))
        let example = try template.encode(
          InstructionExample(prompt: prompt, completion: .text(answer)))
        #expect(example.tokens == shown.prompt + shown.answer)
        #expect(example.isLearned.count { $0 } == shown.answer.count)
      }
    }
  }

  @Test(arguments: tasks.indices)
  func `the unknown word stands last and in nothing that a task says`(_ place: Int) {
    let task = Self.tasks[place]
    #expect(task.vocabulary.names.last == Vocabulary.unknown)
    #expect(
      tokenizer(task.vocabulary).encode("elephant") == [Int32(task.vocabulary.count - 1)])
    for index in 0..<300 {
      let shown = task.demonstration(.training(seed: 1), index: index)
      #expect(!(shown.prompt + shown.answer).contains(Int32(task.vocabulary.count - 1)))
    }
  }
}
