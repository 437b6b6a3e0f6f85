// A task's prompts as a model reads them and as files hold them.

import Tasks
import Text
import Training
import Transformer

/// A prompt in tokens, and as a line of JSON says it.
struct TaskPrompt: Sendable {
  let tokens: [Int32]
  let json: JSON
}

/// What a command asks a model, and by what it judges the answers.
struct TaskQuestions: Sendable {
  let task: any JudgedTask
  let template: ChatTemplate
  let tokenizer: Tokenizer
  /// The training prompt and the one for evaluation of each number; they are never the same.
  let training: @Sendable (_ seed: UInt64, _ index: Int) -> TaskPrompt
  let evaluation: @Sendable (_ index: Int) -> TaskPrompt

  /// A toy task's own prompts, for a model with its vocabulary. Throws for a model with another.
  init(_ task: any ToyTask, for loaded: LoadedModel) throws {
    self.task = task
    let tokenizer = task.tokenizer
    let own = try loaded.textTokenizer()
    guard own?.fingerprint == tokenizer.fingerprint else {
      throw FileError(
        loaded.path,
        "\(own == nil ? "has no tokenizer" : "has another vocabulary than the task \(task.name)"); "
          + "accepted: a model that was trained with the tokenizer.json of 'apus task write "
          + "\(task.name)'")
    }
    self.tokenizer = tokenizer
    template = try ChatTemplate(tokenizer, source: loaded.path)
    @Sendable func read(_ tokens: [Int32]) -> TaskPrompt {
      TaskPrompt(tokens: tokens, json: .string(task.vocabulary.text(of: tokens)))
    }
    training = { seed, index in read(task.prompt(.training(seed: seed), index: index)) }
    evaluation = { index in read(task.prompt(.evaluation, index: index)) }
  }

  /// One line for people: prompt, answer and gold.
  func rendering(of answer: [Int32], to prompt: [Int32]) -> String {
    "\(tokenizer.decode(prompt)) → \(tokenizer.decode(answer))  "
      + "(gold \(Figure.fixed(task.gold(answer, to: prompt), 2)))"
  }

  /// Draws an answer to each prompt in one go, by their numbers among all samples.
  func sampling(seed: UInt64, temperature: Double = 1) -> SamplingOptions {
    var options = SamplingOptions()
    options.temperature = temperature
    options.stopTokens = [template.stop]
    options.maximumNewTokens = task.answerLimit
    options.seed = seed
    return options
  }
}
