// The sections of the stages after pretraining: examples, reward model, preferences.

import Transformer

/// Files of instructions or preferences.
public struct ExampleConfiguration: ConfigurationSection {
  public var training = ""
  /// Empty evaluates nothing.
  public var evaluation = ""
  public var skipBadLines = false

  public init() {}

  public static let meanings: [String: String] = [
    "training":
      "JSONL with messages, or prompt and completion; for preferences chosen and rejected; for PPO prompt",
    "evaluation": "the same, never trained on; empty evaluates nothing",
    "skipBadLines": "count and show lines that cannot be used, instead of refusing the file",
  ]
}

/// Bradley-Terry on pairs (`RewardLoss`).
public struct RewardConfiguration: ConfigurationSection {
  public var centring = 0.0

  public init() {}

  public static let meanings: [String: String] = [
    "centring": "weight of (chosen + rejected reward)^2, which pulls their mean to 0; 0 is off"
  ]

  public var loss: RewardLoss { RewardLoss(centring: centring) }

  func validate() throws {
    try SettingRangeError.check(
      centring >= 0 && centring.isFinite, "reward.centring", centring, "0 or more")
  }
}

/// What a policy is held near to while it learns preferences.
public enum PreferenceReference: String, Codable, Sendable, CaseIterable {
  /// The model that the run starts from.
  case start
  /// Nothing: its log-probabilities count as 0.
  case none
}

/// Direct preference optimisation (`PreferenceLoss`).
public struct PreferenceConfiguration: ConfigurationSection {
  public var kind = PreferenceLoss().kind
  public var beta = PreferenceLoss().beta
  public var labelSmoothing = PreferenceLoss().labelSmoothing
  public var scale = PreferenceLoss().scale
  public var reference = PreferenceReference.start

  public init() {}

  public static let meanings: [String: String] = [
    "kind": "function of the log-ratios",
    "beta": "strength of the pull to the reference",
    "labelSmoothing": "share of labels taken to be wrong, in sigmoid and robust",
    "scale": "log-ratios of whole sequences, or divided by their number of tokens",
    "reference": "start (the model of data.start) or none (reference-free)",
  ]

  public var loss: PreferenceLoss {
    PreferenceLoss(kind, beta: beta, labelSmoothing: labelSmoothing, scale: scale)
  }
}

extension RunConfiguration {
  /// Throws `SettingRangeError` for what the stage lacks.
  func validateStage() throws {
    try reward.validate()
    try preference.loss.validate(section: "preference")
    try validatePolicy()
    guard run.stage != .pretrain else { return }
    let stage = run.stage.rawValue
    try SettingRangeError.check(
      !examples.training.isEmpty, "examples.training", "\"\"", "a JSONL file, to run \(stage) on")
    try SettingRangeError.check(
      run.stage != .reward || model.scalarHead != .none, "model.scalarHead",
      model.scalarHead.rawValue, "zero or normal, since a reward is learnt")
    guard run.stage == .dpo && preference.reference == .start else { return }
    try SettingRangeError.check(
      !data.start.isEmpty, "data.start", "\"\"",
      "the checkpoint that is reference and first policy, or preference.reference none")
  }
}
