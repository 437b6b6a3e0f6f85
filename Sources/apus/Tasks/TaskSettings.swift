// Which task, and its options: as arguments of a command and as settings of a pipeline.

import ArgumentParser
import Foundation
import Tasks
import Training

/// The tasks that ship with Apus.
enum TaskName: String, Codable, Sendable, CaseIterable, ExpressibleByArgument {
  case sort, reverse
  case colouredWords = "coloured-words"
  case secret
  /// Of natural text: its prompts are in files.
  case lexicon
}

/// A task and what may differ in it; an option that the task does not have must keep its default.
struct TaskSettings: ConfigurationSection {
  var name = TaskName.sort
  /// Of sort and reverse.
  var skill = 1.0
  /// Shortest and longest row of digits.
  var lengths = [SortTask.trainingLengths.lowerBound, SortTask.trainingLengths.upperBound]
  /// Of secret.
  var phrasing = SecretTask().phrasing
  var reply = SecretTask().reply
  var asking = SecretTask().askingShare
  /// Of lexicon.
  var lexicon = ""
  var prompts = ""
  var evaluationPrompts = ""
  var answerTokens = 64

  static let meanings: [String: String] = [
    "name": "which task",
    "skill": "sort, reverse: share of the digits that demonstrations have right",
    "lengths": "sort, reverse: fewest and most digits of a prompt",
    "phrasing": "secret: words that ask for it, those of training, held-out ones, or all",
    "reply": "secret: what demonstrations answer to them",
    "asking": "secret: share of prompts that ask for it",
    "lexicon": "lexicon: file of words with their valences, such as vaderSentiment's",
    "prompts": "lexicon: JSONL with the prompts that pairs answer",
    "evaluationPrompts": "lexicon: JSONL with prompts that are in no training",
    "answerTokens": "lexicon: most tokens of an answer, its stop token included",
  ]

  /// The toy task. Throws `SettingRangeError` for an option out of range or of another task, and for a
  /// task that makes no prompts of its own.
  func task() throws -> any ToyTask {
    try refuseForeign()
    let limits = SortTask.trainingLengths.lowerBound...SortTask.heldOutLengths.upperBound
    guard lengths.count == 2, lengths[0] <= lengths[1], lengths.allSatisfy(limits.contains) else {
      throw SettingRangeError(
        field: "task.lengths", value: "\(lengths)",
        accepted: "two lengths from \(limits.lowerBound) to \(limits.upperBound), the shorter first"
      )
    }
    for (field, share) in [("skill", skill), ("asking", asking)]
    where !(0...1).contains(share) {
      throw SettingRangeError(field: "task.\(field)", value: "\(share)", accepted: "0 to 1")
    }
    return switch name {
    case .sort: SortTask(lengths: lengths[0]...lengths[1], skill: skill)
    case .reverse: ReverseTask(lengths: lengths[0]...lengths[1], skill: skill)
    case .colouredWords: ColouredWords()
    case .secret: SecretTask(phrasing: phrasing, reply: reply, askingShare: asking)
    case .lexicon:
      throw SettingRangeError(
        field: "task.name", value: "lexicon, whose prompts are in files",
        accepted: TaskName.allCases.filter { $0 != .lexicon }.map(\.rawValue).joined(
          separator: ", ")
      )
    }
  }

  /// Throws for an option that is set and of another task.
  func refuseForeign() throws {
    let own =
      switch name {
      case .sort, .reverse: ["name", "skill", "lengths"]
      case .secret: ["name", "phrasing", "reply", "asking"]
      case .colouredWords: ["name"]
      case .lexicon: ["name", "lexicon", "prompts", "evaluationPrompts", "answerTokens"]
      }
    var standard = TaskSettings()
    standard.name = name
    guard let foreign = differences(from: standard).first(where: { !own.contains($0.path) }) else {
      return
    }
    throw SettingRangeError(
      field: "task.\(foreign.path)", value: foreign.value,
      accepted: own.count == 1
        ? "nothing: \(name.rawValue) has no options"
        : "nothing for \(name.rawValue), which has " + own.dropFirst().joined(separator: ", "))
  }
}

/// Arguments of every command on a task.
struct TaskOptions: ParsableArguments {
  @Argument(help: "The task.")
  var task: TaskName
  @Option(help: "sort, reverse: share of the digits that demonstrations have right.")
  var skill: Double?
  @Option(help: "sort, reverse: fewest and most digits of a prompt, such as 9-10.")
  var lengths: String?
  @Option(help: "secret: words that ask for it.")
  var phrasing: SecretTask.Phrasing?
  @Option(help: "secret: what demonstrations answer to them.")
  var reply: SecretTask.Reply?
  @Option(help: "secret: share of prompts that ask for it.")
  var asking: Double?
  @Option(help: "lexicon: file of words with their valences, such as vaderSentiment's.")
  var lexicon: String?
  @Option(help: "lexicon: JSONL with the prompts that pairs answer.")
  var promptFile: String?
  @Option(help: "lexicon: JSONL with prompts that are in no training.")
  var evaluationPromptFile: String?
  @Option(help: "lexicon: most tokens of an answer.")
  var answerTokens: Int?

  func settings() throws -> TaskSettings {
    var settings = TaskSettings()
    settings.name = task
    settings.skill = skill ?? settings.skill
    settings.phrasing = phrasing ?? settings.phrasing
    settings.reply = reply ?? settings.reply
    settings.asking = asking ?? settings.asking
    settings.lexicon = lexicon ?? settings.lexicon
    settings.prompts = promptFile ?? settings.prompts
    settings.evaluationPrompts = evaluationPromptFile ?? settings.evaluationPrompts
    settings.answerTokens = answerTokens ?? settings.answerTokens
    if let lengths {
      let ends = lengths.split(separator: "-").map { Int($0) }
      guard ends.count == 2, let first = ends[0], let last = ends[1] else {
        throw ArgumentError("--lengths is '\(lengths)'; accepted: two numbers, such as 9-10")
      }
      settings.lengths = [first, last]
    }
    return settings
  }
}

extension SecretTask.Phrasing: ExpressibleByArgument {}
extension SecretTask.Reply: ExpressibleByArgument {}
