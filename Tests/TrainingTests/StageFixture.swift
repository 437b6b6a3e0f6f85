// Test support: files of instructions and preferences, a tokenizer for them, and tiny runs of stages.

import Foundation
import Kernels
import Parallel
import Stages
import Tensors
import Testing
import Text
import Training
import Transformer

/// A folder with a tokenizer, instructions and preferences; gone with its owner.
final class StageFixture: Sendable {
  let folder: String

  static let instructions = [
    #"{"prompt": "two plus two is", "completion": " four"}"#,
    #"{"messages": [{"role": "user", "content": "two?"}, {"role": "assistant", "content": "yes, two"}]}"#,
    #"{"prompt": "four", "completion": " and four is eight, and eight is two and two and four"}"#,
    #"{"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "four?"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "yes"}]}"#,
    #"{"prompt": "a", "completion": "b"}"#,
    #"{"prompt": "eight is", "completion": " four and four"}"#,
    #"{"prompt": "one two", "completion": " three"}"#,
  ]

  static let preferences = [
    #"{"prompt": "two plus two is", "chosen": " four", "rejected": " five, or so they say"}"#,
    #"{"prompt": "four", "chosen": " and four is eight", "rejected": "?", "margin": 0.5}"#,
    #"{"prompt": [{"role": "user", "content": "two?"}], "chosen": "yes, two", "rejected": "no"}"#,
    #"{"prompt": "a", "chosen": "b", "rejected": "c"}"#,
    #"{"prompt": "eight is", "chosen": " four and four", "rejected": " two"}"#,
  ]

  init() throws {
    folder = NSTemporaryDirectory() + "/apus-stages-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write("instructions.jsonl", Self.instructions.joined(separator: "\n"))
    try write("preferences.jsonl", Self.preferences.joined(separator: "\n"))
    try Data(Self.tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]).json)
      .write(to: URL(fileURLWithPath: "\(folder)/tokenizer.json"))
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// With a policy and a reward model to start from.
  static func withFirstModels() throws -> StageFixture {
    let fixture = try StageFixture()
    _ = try fixture.run(fixture.configuration(.sft) { $0.training.steps = 1 })
    _ = try fixture.run(fixture.configuration(.reward) { $0.training.steps = 1 })
    return fixture
  }

  static func tokenizer(_ special: [String]) throws -> Tokenizer {
    var settings = TokenizerSettings(vocabularySize: 290)
    settings.specialTokens = special
    var training = try TokenizerTraining(settings)
    training.append(text: (instructions + preferences).joined(separator: "\n"))
    return training.tokenizer()
  }

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
  }

  /// Those that every stage is compared under.
  static let layouts: [(text: String, ranks: Int)] = [
    ("data=2", 2), ("tensor=2", 2), ("expert=2", 2), ("tensor=2,expert=4", 4),
    ("tensor=2,expert=2", 4), ("tensor=4,expert=2,expert-tensor=2", 4),
    ("tensor=2,expert=2,expert-tensor=2", 8),
    ("tensor=8,expert=8", 8), ("expert=8", 8),
  ]

  /// Nine samples a step, so that no layout deals them evenly.
  func configuration(
    _ stage: StageName, _ change: (inout RunConfiguration) -> Void = { _ in }
  ) -> RunConfiguration {
    var configuration = RunConfiguration()
    configuration.run.name = stage.rawValue
    configuration.run.stage = stage
    configuration.run.folder = "\(folder)/runs"
    configuration.run.precision = .float64
    configuration.run.watchdogSeconds = 0
    configuration.data.tokenizer = "\(folder)/tokenizer.json"
    configuration.data.sequenceLength = 96
    let file = stage == .sft ? "instructions" : "preferences"
    configuration.examples.training = "\(folder)/\(file).jsonl"
    configuration.examples.evaluation = configuration.examples.training
    configuration.model.width = 24
    configuration.model.layers = 2
    configuration.model.heads = 8
    configuration.model.keyValueHeads = 4
    configuration.model.headWidth = 4
    configuration.model.initialDeviation = 0.2
    configuration.model.router.experts = 8
    configuration.model.router.expertWidth = 10
    configuration.model.router.balanceCoefficient = 0.1
    configuration.model.router.zCoefficient = 0.01
    configuration.model.scalarHead = stage == .reward ? .normal : .none
    configuration.training.batch = 9
    configuration.training.steps = 6
    configuration.schedule.kind = .constant
    configuration.schedule.warmup = 0
    configuration.samples.tokens = 4
    configuration.checkpoint.keep = 0
    configuration.rollout.answerTokens = 7
    configuration.rollout.reward = .task
    configuration.rollout.task = "rule"
    (configuration.rollout.epochs, configuration.rollout.minibatches) = (2, 3)
    configuration.grpo.groupSize = 3
    configuration.data.start = stage == .ppo || stage == .grpo ? "\(folder)/runs/sft" : ""
    change(&configuration)
    return configuration
  }

  /// Of tokens alone, never 0 and never alike for all.
  static let rule: AnswerReward = { prompt, answer in
    Double(answer.count { $0 % 2 == 0 }) / Double(answer.count) - 0.1 * Double(prompt.count % 3)
  }

  /// A stage as its command makes it.
  static func make(
    _ configuration: RunConfiguration, rule: @escaping AnswerReward, over world: Communicator
  ) throws -> any Stage {
    let isRuled = configuration.rollout.reward == .task
    return switch configuration.run.stage {
    case .ppo:
      try ProximalPolicy(configuration, reward: isRuled ? rule : nil, over: world)
    case .grpo:
      try GroupRelativePolicy(configuration, reward: isRuled ? rule : nil, over: world)
    default: try type(of: configuration.run.stage).init(configuration, over: world)
    }
  }

  /// A stage with its trainer, ready for a first step.
  static func ready(
    _ configuration: RunConfiguration, on mesh: ProcessMesh, clip: Double = 1,
    rule: @escaping AnswerReward = rule
  ) throws -> (stage: any Stage, trainer: Trainer) {
    var configuration = configuration
    let stage = try make(configuration, rule: rule, over: mesh.world)
    configuration.model.vocabulary = try configuration.vocabulary(for: stage.tokenizer)
    let device = try Device(precision: configuration.run.precision, threads: 1)
    let model = try LanguageModel(
      configuration.model, on: device, mesh: mesh, seed: UInt64(configuration.run.seed),
      learners: mesh.learners(of: stage.modelsLearnt), dispatch: configuration.layout.dispatch)
    let trainer = Trainer(
      model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: clip)
    try stage.prepare(trainer)
    return (stage, trainer)
  }

  static func type(of stage: StageName) -> any Stage.Type {
    switch stage {
    case .pretrain: Pretraining.self
    case .sft: SupervisedFineTuning.self
    case .reward: RewardModeling.self
    case .dpo: DirectPreference.self
    case .ppo: ProximalPolicy.self
    case .grpo: GroupRelativePolicy.self
    }
  }

  /// A whole run; gives what it showed.
  func run(
    _ configuration: RunConfiguration, ranks: Int = 1, resuming: Bool = false,
    rule: @escaping AnswerReward = rule
  ) throws -> String {
    let shown = Shown()
    _ = try InProcessRanks.run(ranks) { world in
      let style = ScreenStyle(flow: .lines(every: 1), width: 100, glyphs: .ascii)
      var run = StageRun(Self.type(of: configuration.run.stage), configuration, style: style) {
        shown.add($0)
      }
      run.isResuming = resuming
      run.make = { try Self.make($0, rule: rule, over: $1) }
      return try run.run(on: world)
    }
    return shown.text
  }
}

/// Text from rank 0's thread.
// @unchecked: one rank's thread writes, the test reads after that thread ended.
final class Shown: @unchecked Sendable {
  private(set) var text = ""
  func add(_ more: String) { text += more }
}

enum StageBar {
  /// Layouts and packings in float64: the order of sums alone.
  static let layout = 1e-11
  /// Losses over 20 steps of AdamW, which divides by small numbers.
  static let trajectory = 1e-9
}

/// The elements of a whole row-major array of this shape that lie in `slice`.
func elements(of whole: [Double], shape: [Int], in slice: [Range<Int>]) -> [Double] {
  let part = SlicePart(of: shape, slice: slice)
  var elements: [Double] = []
  part.forEachRun(0..<part.count) { _, first, count in elements += whole[first..<first + count] }
  return elements
}
