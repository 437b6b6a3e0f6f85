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
  /// How many different ones for evaluation there are; nil where they are drawn.
  private let evaluationLimit: Int?

  /// A toy task's own prompts, for a model with its vocabulary. Throws for a model with another.
  private init(_ task: any ToyTask, for loaded: LoadedModel) throws {
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
    evaluationLimit = nil
  }

  /// Throws where so many prompts would hold some twice, which intervals would take for more than they
  /// are.
  func checkEvaluation(_ prompts: Int) throws {
    guard let evaluationLimit, prompts > evaluationLimit else { return }
    throw ArgumentError(
      "\(prompts) prompts are to be answered, and the file for evaluation has \(evaluationLimit); "
        + "accepted: \(evaluationLimit) or fewer")
  }

  /// One line for people: prompt, answer and gold.
  func rendering(of answer: [Int32], to prompt: [Int32]) -> String {
    "\(tokenizer.decode(prompt)) → \(tokenizer.decode(answer))  "
      + "(gold \(Figure.fixed(task.gold(answer, to: prompt), 2)))"
  }

  /// What the settings name, for this model. Throws where they cannot be used, or the model's
  /// vocabulary is another.
  init(_ settings: TaskSettings, for loaded: LoadedModel) throws {
    if settings.name == .lexicon {
      try self.init(lexicon: settings, for: loaded)
    } else {
      try self.init(settings.task(), for: loaded)
    }
  }

  /// Prompts of files, judged by a lexicon; those of training come in the order of their file, from
  /// another place of it for each seed, and again when all were there.
  private init(lexicon settings: TaskSettings, for loaded: LoadedModel) throws {
    try settings.refuseForeign()
    for (field, path) in [
      ("lexicon", settings.lexicon), ("prompts", settings.prompts),
      ("evaluationPrompts", settings.evaluationPrompts),
    ] where path.isEmpty {
      throw SettingRangeError(field: "task.\(field)", value: "\"\"", accepted: "a file")
    }
    let longest = DataConfiguration.longestSequence
    guard (1...longest).contains(settings.answerTokens) else {
      throw SettingRangeError(
        field: "task.answerTokens", value: "\(settings.answerTokens)", accepted: "1 to \(longest)")
    }
    guard let tokenizer = try loaded.textTokenizer() else {
      throw FileError(loaded.path, "has no tokenizer; accepted: a model of text")
    }
    let template = try ChatTemplate(tokenizer, source: loaded.path)
    func prompts(_ path: String) throws -> [TaskPrompt] {
      try ExampleFile(prompts: path).examples.map {
        TaskPrompt(tokens: try template.encodePrompt($0), json: $0.json)
      }
    }
    let words = try Lexicon(
      lines: String(
        decoding: ReadableFile.contents(settings.lexicon, atMost: 1 << 26), as: UTF8.self),
      source: settings.lexicon)
    task = LexiconTask(words, answerLimit: settings.answerTokens, stop: template.stop) {
      tokenizer.decode($0, skippingSpecialTokens: true)
    }
    self.tokenizer = tokenizer
    self.template = template
    let (own, held) = (try prompts(settings.prompts), try prompts(settings.evaluationPrompts))
    training = { seed, index in own[(Int(seed % 1009) * 7919 + index) % own.count] }
    evaluation = { held[$0 % held.count] }
    evaluationLimit = held.count
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

extension Passage {
  /// As a line of examples has it.
  fileprivate var json: JSON {
    switch self {
    case .text(let text): .string(text)
    case .messages(let messages):
      .array(
        messages.map {
          .object(
            JSONObject([("role", .string($0.role.rawValue)), ("content", .string($0.content))]))
        })
    }
  }
}
