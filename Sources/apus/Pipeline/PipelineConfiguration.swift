// The file of a pipeline: what it is called, its task, and its steps.

import Foundation
import Tasks
import Training

/// What a step does.
enum StepKind: String, Codable, Sendable, CaseIterable {
  /// Files of the task.
  case task
  /// Pairs of a model's answers, labelled by the task's gold.
  case pairs
  case pretrain, sft, reward, dpo, ppo, grpo

  var stage: StageName? { StageName(rawValue: rawValue) }

  /// Whether what comes out answers prompts.
  var isPolicy: Bool {
    switch self {
    case .sft, .dpo, .ppo, .grpo: true
    case .task, .pairs, .pretrain, .reward: false
    }
  }
}

/// How the policies of a pipeline are judged.
struct PipelineEvaluation: ConfigurationSection {
  var prompts = 500
  var samples = 1
  var seed = 1
  /// Empty is the first step of kind sft.
  var against = ""

  static let meanings: [String: String] = [
    "prompts": "prompts of the task's evaluation; 0 judges nothing",
    "samples": "answers drawn to each",
    "seed": "key of the random numbers",
    "against": "step whose model win rates and KL are against; empty is the first of kind sft",
  ]
}

/// What stands beside `steps`.
struct PipelineHead: ConfigurationSection {
  /// Empty takes the file's name.
  var name = ""
  var folder = "checkpoints"
  var task = TaskSettings()
  var evaluation = PipelineEvaluation()

  static let meanings: [String: String] = [
    "name": "folder of the pipeline within folder; empty takes the file's name",
    "folder": "where pipelines are kept",
    "task": "what policies are judged by",
    "evaluation": "how they are judged",
  ]
}

/// One step. A setting that its kind does not have is refused.
struct PipelineStep: ConfigurationSection {
  /// Empty takes the kind.
  var name = ""
  var kind = StepKind.task
  var config = ""
  var task = TaskSettings()
  var examples = TaskFiles(task: SortTask()).examples
  var prompts = TaskFiles(task: SortTask()).prompts
  var evaluation = TaskFiles(task: SortTask()).evaluation
  var from = ""
  var pairs = 3000
  var evaluationPairs = 300
  var leastGap = 0.0
  /// 0 is 1 for files, 2 for pairs.
  var seed = 0

  static let meanings: [String: String] = [
    "name": "folder of what the step makes, by which later steps know it; empty takes the kind",
    "kind": "what is done",
    "config": "of a stage: its configuration, from the folder of the pipeline's file",
    "task": "of task and pairs: over the pipeline's",
    "examples": "of task: demonstrations",
    "prompts": "of task: prompts without answers",
    "evaluation": "of task: demonstrations to evaluate on",
    "from": "of pairs: the step whose model answers",
    "pairs": "of pairs: pairs of answers to training prompts",
    "evaluationPairs": "of pairs: pairs of answers to prompts that are in no training",
    "leastGap": "of pairs: least difference in gold of the two answers",
    "seed": "of task and pairs: key of the random numbers; 0 is 1 and 2",
  ]

  /// Settings of this kind.
  fileprivate var own: [String] {
    switch kind {
    case .task: ["name", "kind", "task", "examples", "prompts", "evaluation", "seed"]
    case .pairs: ["name", "kind", "task", "from", "pairs", "evaluationPairs", "leastGap", "seed"]
    default: ["name", "kind", "config"]
    }
  }
}

/// A pipeline as its file says it, checked as far as that is possible before anything has run.
struct Pipeline: Sendable {
  /// A step with its place in the file.
  struct Step: Sendable {
    let name: String
    let kind: StepKind
    let settings: PipelineStep
    /// For the run of a stage.
    let run: SettingList
    let place: String
  }

  let file: String
  let name: String
  /// Where all of it lies.
  let folder: String
  let head: PipelineHead
  let steps: [Step]

  init(file: String) throws {
    let read = try StepsFile<PipelineHead, PipelineStep>(file: file)
    self.file = file
    head = read.head
    name = head.name.isEmpty ? Self.stem(of: file) : head.name
    folder = "\(head.folder)/\(name)"
    var known: [String] = []
    steps = try read.entries.map { entry in
      let step = entry.step
      let name = step.name.isEmpty ? step.kind.rawValue : step.name
      func refuse(_ problem: String, _ accepted: String) -> ConfigurationError {
        ConfigurationError(
          place: entry.place, problem: "step \(name): \(problem)", accepted: accepted)
      }
      guard RunSettings.isName(name) else {
        throw refuse("name is '\(name)'", "letters, digits, '-', '_' and '.'")
      }
      guard !known.contains(name) else {
        throw refuse("another step has this name", "a name of its own")
      }
      if let foreign = entry.said.first(where: { path in
        !step.own.contains { path == $0 || path.hasPrefix($0 + ".") }
      }) {
        throw refuse(
          "\(foreign) is no setting of the kind \(step.kind.rawValue)",
          step.own.joined(separator: ", ") + (step.kind.stage == nil ? "" : ", settings"))
      }
      guard step.kind.stage != nil || entry.settings.values.isEmpty else {
        throw refuse("settings are for stages", step.own.joined(separator: ", "))
      }
      guard step.kind != .pairs || known.contains(step.from) else {
        throw refuse(
          "from is '\(step.from)'",
          known.isEmpty ? "an earlier step" : "an earlier step: " + known.joined(separator: ", "))
      }
      for (field, value, least) in [
        ("examples", step.examples, 1), ("prompts", step.prompts, 1),
        ("evaluation", step.evaluation, 1), ("pairs", step.pairs, 1),
        ("evaluationPairs", step.evaluationPairs, 1), ("seed", step.seed, 0),
      ] where value < least {
        throw refuse("\(field) is \(value)", "\(least) or more")
      }
      guard step.leastGap >= 0 else {
        throw refuse("leastGap is \(step.leastGap)", "0 or more")
      }
      known.append(name)
      return Step(
        name: name, kind: step.kind, settings: step,
        run: read.settings.overridden(by: entry.settings), place: entry.place)
    }
    let evaluation = head.evaluation
    guard RunSettings.isName(name) else {
      throw ConfigurationError(
        place: file, problem: "name is '\(name)'", accepted: "letters, digits, '-', '_' and '.'")
    }
    guard evaluation.prompts >= 0, evaluation.samples >= 1, evaluation.seed >= 0 else {
      throw ConfigurationError(
        place: file,
        problem: "evaluation has prompts \(evaluation.prompts), samples \(evaluation.samples), "
          + "seed \(evaluation.seed)", accepted: "0, 1 and 0 or more")
    }
    guard evaluation.against.isEmpty || known.contains(evaluation.against) else {
      throw ConfigurationError(
        place: file, problem: "evaluation.against is '\(evaluation.against)'",
        accepted: "a step: " + known.joined(separator: ", "))
    }
  }

  /// The step that policies are compared with.
  var reference: String? {
    head.evaluation.against.isEmpty
      ? steps.first { $0.kind == .sft }?.name : head.evaluation.against
  }

  /// Steps with what they set for their runs, in lines for people. Throws where a setting is none.
  var list: String {
    get throws {
      try steps.map { step in
        if step.kind.stage != nil { _ = try values(of: step) }
        let set = step.run.arguments.map { "    \($0)" }
        return (["\(step.name) (\(step.kind.rawValue)) in \(folder(of: step.name))"] + set)
          .joined(separator: "\n")
      }.joined(separator: "\n")
    }
  }

  func folder(of step: String) -> String { "\(folder)/\(step)" }

  /// A path whose first part names a step before `step` lies in that step's folder.
  func resolved(_ path: String, in step: Step) -> String {
    let first = path.prefix { $0 != "/" }
    let earlier = steps.prefix { $0.name != step.name }
    return earlier.contains { $0.name == first } ? "\(folder)/\(path)" : path
  }

  /// The configuration of a stage's run: its file, settings over it, paths of earlier steps.
  func configuration(of step: Step, stage: StageName) throws -> RunConfiguration {
    let (source, settings, said) = try values(of: step)
    var paths = SettingList()
    for (setting, value) in said where !setting.hasPrefix("run.") && !setting.hasPrefix("samples.")
    {
      let path = resolved(value, in: step)
      if path != value { paths.values.append((setting, path)) }
    }
    return try RunConfiguration.read(
      yaml: source.yaml, file: source.name, settings: settings.overridden(by: paths).arguments,
      stage: stage)
  }

  /// What a stage is told, and all text in it, before ranges are looked at or anything is opened.
  private func values(of step: Step) throws -> (
    source: (yaml: String, name: String), settings: SettingList,
    text: [(path: String, value: String)]
  ) {
    let config = step.settings.config
    let path =
      config.isEmpty || config.hasPrefix("/")
      ? config
      : URL(filePath: file).deletingLastPathComponent().appending(path: config).relativePath
    let source =
      config.isEmpty
      ? (yaml: "{}", name: "\(step.place), step \(step.name)")
      : (yaml: try ConfigurationFile.text(of: path), name: path)
    var names = SettingList()
    names.values = [("run.name", step.name), ("run.folder", folder)]
    let settings = step.run.overridden(by: names)
    return (
      source, settings,
      try RunConfiguration.text(
        yaml: source.yaml, file: source.name, settings: settings.arguments)
    )
  }

  private static func stem(of file: String) -> String {
    URL(filePath: file).deletingPathExtension().lastPathComponent
  }
}
