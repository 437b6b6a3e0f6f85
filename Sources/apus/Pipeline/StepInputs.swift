// What a step's result depends on: settings by value, files and checkpoints by what they hold.

import Tasks
import Training
import Transformer

/// Names and values, equal where the result would be.
struct StepInputs: Sendable, Equatable {
  private(set) var values: [String: String] = [:]

  private mutating func add(_ name: String, _ value: String) { values[name] = value }

  private mutating func add(_ task: TaskSettings) throws {
    for setting in task.settings { try add("task.\(setting.path)", setting.value) }
  }

  /// Settings that are paths.
  private static let paths: Set<String> = [
    "data.corpus", "data.tokenizer", "data.start", "examples.training", "rollout.rewardModel",
    "rollout.reference", "ppo.critic", "task.lexicon", "task.prompts", "task.evaluationPrompts",
  ]

  /// A path counts by what lies there.
  private mutating func add(_ name: String, _ value: SettingValue) throws {
    if case .text(let path) = value, Self.paths.contains(name), Disk().exists(path) {
      add(name, try Self.held(by: path))
    } else {
      add(name, value.yaml)
    }
  }

  /// Of files or pairs of a task.
  init(_ step: Pipeline.Step, in pipeline: Pipeline) throws {
    let settings = step.settings
    add("kind", step.kind.rawValue)
    try add(settings.task)
    add("seed", "\(settings.seed)")
    if step.kind == .task {
      add("examples", "\(settings.examples)")
      add("prompts", "\(settings.prompts)")
      add("evaluation", "\(settings.evaluation)")
    } else {
      add("pairs", "\(settings.pairs)")
      add("evaluationPairs", "\(settings.evaluationPairs)")
      add("leastGap", "\(settings.leastGap)")
      add("from", try Self.held(by: pipeline.folder(of: settings.from)))
    }
  }

  /// Of a stage's run. More steps may follow, on other ranks: neither is part of it.
  init(_ configuration: RunConfiguration) throws {
    let apart = ["training.steps", "run.threads", "examples.evaluation"]
    for setting in configuration.settings where RunConfiguration.changesLearning(setting.path) {
      guard !apart.contains(setting.path), !setting.path.hasPrefix("layout.") else { continue }
      if setting.path == "data.corpus" && configuration.run.stage != .pretrain { continue }
      if setting.path == "data.tokenizer" && !configuration.data.start.isEmpty { continue }
      try add(setting.path, setting.value)
    }
  }

  /// Of a policy's judgement.
  init(
    policy: String, reference: String?, task: TaskSettings, _ evaluation: PipelineEvaluation
  ) throws {
    add("policy", try Self.held(by: policy))
    if let reference { add("against", try Self.held(by: reference)) }
    try add(task)
    add("prompts", "\(evaluation.prompts)")
    add("samples", "\(evaluation.samples)")
    add("seed", "\(evaluation.seed)")
  }

  /// A file's sum, a checkpoint's fingerprint; of a folder of texts its path.
  private static func held(by path: String) throws -> String {
    guard Disk.isFolder(path) else { return try Digest.sha256(file: path) }
    return CheckpointFolder.exists(at: path) ? try StartCheckpoint(path: path).fingerprint : path
  }

  /// The first difference, in words; nil where there is none.
  func difference(from other: StepInputs) -> String? {
    let names = Set(values.keys).union(other.values.keys).sorted()
    guard let name = names.first(where: { values[$0] != other.values[$0] }) else { return nil }
    func word(_ value: String?) -> String { value.map { String($0.prefix(24)) } ?? "nothing" }
    return "\(name) was \(word(other.values[name])) and is \(word(values[name]))"
  }

  // MARK: - File

  var json: JSON {
    .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
  }

  init?(_ json: JSON?) {
    guard let object = json?.asObject else { return nil }
    for (name, value) in object {
      guard let text = value.asString else { return nil }
      add(name, text)
    }
  }
}

/// What is known of a step that was begun: in `.steps/NAME.json` of the pipeline's folder.
struct PipelineRecord: Sendable {
  var inputs: StepInputs
  var isFinished = false
  /// Of all processes that worked at it, up to their last word.
  var seconds = 0.0
  /// What the step said of what it made.
  var notes: [String: Double] = [:]
  /// Of a policy: what it was judged by, and the judgement.
  var judgedBy: StepInputs?
  var judgement: JSON?

  init(_ inputs: StepInputs) { self.inputs = inputs }

  static func path(of step: String, in folder: String) -> String { "\(folder)/.steps/\(step).json" }

  /// Reads a record; nil where there is none.
  init?(of step: String, in folder: String) throws {
    let path = Self.path(of: step, in: folder)
    guard Disk().exists(path) else { return nil }
    let json = try JSON(parsing: ReadableFile.contents(path), source: path)
    guard let inputs = StepInputs(json["inputs"]), let finished = json["finished"]?.asBoolean,
      let seconds = json["seconds"]?.asNumber
    else {
      throw FileError(path, "is no record of a step; remove it with the step's folder")
    }
    self.inputs = inputs
    isFinished = finished
    self.seconds = seconds
    for (name, value) in json["notes"]?.asObject ?? JSONObject() {
      notes[name] = value.asNumber
    }
    judgedBy = StepInputs(json["judged_by"])
    judgement = json["judgement"]
  }

  func write(as step: String, in folder: String) throws {
    var object = JSONObject([
      ("finished", .boolean(isFinished)), ("seconds", .number(seconds)),
      (
        "notes",
        .object(JSONObject(notes.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }))
      ),
      ("inputs", inputs.json),
    ])
    object["judged_by"] = judgedBy?.json
    object["judgement"] = judgement
    try Disk().makeFolder("\(folder)/.steps")
    try Disk().replace(
      Self.path(of: step, in: folder), with: Array(JSON.object(object).pretty.utf8))
  }
}
