// The sections of the stages that learn from answers which the policy writes itself: PPO and GRPO.

import Foundation
import Transformer

/// Who says what an answer is worth.
public enum RewardSource: String, Codable, Sendable, CaseIterable {
  /// A reward model's scalar at the answer's last token.
  case model
  /// A task's rule, which the command hands over.
  case task
}

/// What a reward model's scores are divided by.
public enum ScoreScale: String, Codable, Sendable, CaseIterable {
  /// Nothing.
  case none
  /// Scores are shifted and scaled to mean 0 and deviation 1 over answers of the first policy
  /// (Ziegler et al. 2019).
  case start
}

/// Which experts the updates use.
public enum RoutingSource: String, Codable, Sendable, CaseIterable {
  /// What the routers choose as they change.
  case live
  /// What they chose when the answers were written, by the weights that they then were.
  case replay
}

/// How answers are written and used.
public struct RolloutConfiguration: ConfigurationSection {
  public var answerTokens = 64
  public var reward = RewardSource.model
  public var rewardModel = ""
  public var task = ""
  public var scoreScale = ScoreScale.none
  public var missingEnd = MissingEndRule.Kind.subtract
  public var missingEndAmount = 1.0
  /// Times that an iteration's answers are gone through.
  public var epochs = 4
  /// Parts of an epoch, an update each.
  public var minibatches = 4
  /// Empty is `data.start`.
  public var reference = ""
  public var routing = RoutingSource.live

  public init() {}

  public static let meanings: [String: String] = [
    "answerTokens": "most tokens of an answer, its stop token included; drawn at temperature 1",
    "reward": "model (rollout.rewardModel) or task (rollout.task)",
    "rewardModel": "checkpoint or run of apus reward",
    "task": "task whose rule gives the rewards",
    "scoreScale": "none, or start: a reward model's scores to mean 0, deviation 1 at the start",
    "missingEnd": "what befalls the score of an answer without its stop token",
    "missingEndAmount": "what is subtracted from it, or stands in its place",
    "epochs": "times that an iteration's answers are gone through",
    "minibatches": "updates of one epoch; training.batch answers are dealt to them evenly",
    "reference": "checkpoint that KL is measured to; empty is data.start",
    "routing": "experts of updates: live, or replay of those when the answers were written",
  ]

  public var missingEndRule: MissingEndRule { MissingEndRule(missingEnd, amount: missingEndAmount) }
}

/// Proximal policy optimisation (Schulman et al. 2017) with a critic of its own.
public struct PPOConfiguration: ConfigurationSection {
  public var clip = ClippedPolicyLoss().clip
  public var valueClip = ClippedValueLoss().clip
  public var discount = GeneralizedAdvantage().discount
  public var lambda = GeneralizedAdvantage().lambda
  public var klPlacement = KLPlacement.loss
  public var klEstimator = KLEstimator.exact
  public var klCoefficient = 0.05
  /// 0 keeps the coefficient.
  public var klTarget = 0.0
  public var klUnit = KLUnit.sequence
  public var klHorizon = 10_000.0
  /// Empty is `data.start`, with a head of zeros.
  public var critic = ""
  /// 0 is the policy's.
  public var criticLearningRate = 0.0

  public init() {}

  public static let meanings: [String: String] = [
    "clip": "epsilon: how far the ratio to the old policy counts",
    "valueClip": "epsilon of the critic: how far its values count from the old ones",
    "discount": "gamma",
    "lambda": "of the advantages: 0 trusts the critic after one token, 1 not at all",
    "klPlacement": "loss (objective - beta x KL) or reward (each token's)",
    "klEstimator": "exact or k3 in the loss, k1 in the reward",
    "klCoefficient": "beta; 0 lets the policy go",
    "klTarget": "nats that beta is steered to; 0 keeps beta",
    "klUnit": "of klTarget: nats an answer (sequence) or a token",
    "klHorizon": "answers over which an error of 1 would multiply beta by e",
    "critic": "checkpoint that the critic starts from, a reward model's say; empty is data.start",
    "criticLearningRate": "peak of the critic's schedule; 0 is optimizer.learningRate",
  ]

  public var controller: KLController {
    KLController(
      coefficient: klCoefficient,
      adaptation: klTarget == 0
        ? nil : .init(target: klTarget, unit: klUnit, horizon: klHorizon))
  }

  func validate() throws {
    try klPlacement.validate(klEstimator, section: "ppo")
    try controller.validate(section: "ppo")
    try SettingRangeError.check(clip > 0 && clip < 1, "ppo.clip", clip, "more than 0, below 1")
    try SettingRangeError.check(valueClip > 0, "ppo.valueClip", valueClip, "more than 0")
    for (name, value) in [("discount", discount), ("lambda", lambda)] {
      try SettingRangeError.check((0...1).contains(value), "ppo.\(name)", value, "0 to 1")
    }
    try SettingRangeError.check(klTarget >= 0, "ppo.klTarget", klTarget, "more than 0, or 0")
    try SettingRangeError.check(
      criticLearningRate >= 0, "ppo.criticLearningRate", criticLearningRate, "0 or more")
  }
}

/// Group-relative policy optimisation (Shao et al. 2024), without a critic.
public struct GRPOConfiguration: ConfigurationSection {
  public var groupSize = 8
  public var form = GroupRelativeLoss().form
  public var importance = GroupRelativeLoss().importance
  public var clipLow = GroupRelativeLoss().clipLow
  public var clipHigh = GroupRelativeLoss().clipHigh
  public var scale = AdvantageScale.group
  public var klCoefficient = GroupRelativeLoss().klCoefficient

  public init() {}

  public static let meanings: [String: String] = [
    "groupSize": "answers to one prompt, which are compared with each other",
    "form": "over what a token's loss is averaged",
    "importance": "what the clipped ratio is of: a token or the whole answer (sequence)",
    "clipLow": "epsilon below 1",
    "clipHigh": "epsilon above 1",
    "scale": "what advantages are divided by: deviation of the group, of the batch, or none",
    "klCoefficient": "beta of the pull to the reference by k3 in the loss; 0 is none",
  ]

  /// The loss for answers of at most so many tokens.
  public func loss(longestAnswer: Int) -> GroupRelativeLoss {
    var loss = GroupRelativeLoss()
    loss.form = form
    loss.importance = importance
    (loss.clipLow, loss.clipHigh) = (clipLow, clipHigh)
    loss.klCoefficient = klCoefficient
    loss.longestAnswer = longestAnswer
    return loss
  }

  func validate() throws {
    try SettingRangeError.check(groupSize >= 2, "grpo.groupSize", groupSize, "2 or more")
    try SettingRangeError.check(
      clipLow > 0 && clipLow < 1, "grpo.clipLow", clipLow, "more than 0, below 1")
    try SettingRangeError.check(clipHigh > 0, "grpo.clipHigh", clipHigh, "more than 0")
    try SettingRangeError.check(
      klCoefficient >= 0 && klCoefficient.isFinite, "grpo.klCoefficient", klCoefficient,
      "0 or more")
  }
}

extension RunConfiguration {
  /// What a policy that writes its own answers must be told.
  func validatePolicy() throws {
    try ppo.validate()
    try grpo.validate()
    try SettingRangeError.check(
      rollout.answerTokens >= 1, "rollout.answerTokens", rollout.answerTokens, "1 or more")
    let most = TrainingConfiguration.mostSteps
    try SettingRangeError.check(
      (1...most).contains(rollout.epochs), "rollout.epochs", rollout.epochs, "1 to \(most)")
    try SettingRangeError.check(
      (1...(1 << 20)).contains(rollout.minibatches), "rollout.minibatches", rollout.minibatches,
      "1 to \(1 << 20)")
    try SettingRangeError.check(
      rollout.missingEndAmount.isFinite, "rollout.missingEndAmount", rollout.missingEndAmount,
      "a number")
    guard run.stage == .ppo || run.stage == .grpo else { return }
    let stage = run.stage.rawValue
    try SettingRangeError.check(
      rollout.answerTokens < data.sequenceLength, "rollout.answerTokens", rollout.answerTokens,
      "1 to \(data.sequenceLength - 1), less than data.sequenceLength, which holds the prompt as well"
    )
    try SettingRangeError.check(
      ppo.klTarget == 0 || Double(training.batch) < 5 * ppo.klHorizon, "ppo.klHorizon",
      ppo.klHorizon,
      "more than a fifth of training.batch, \(training.batch): one step would turn "
        + "beta's sign")
    try SettingRangeError.check(
      !data.start.isEmpty, "data.start", "\"\"",
      "the checkpoint that \(stage) starts from, a fine-tuned model")
    switch rollout.reward {
    case .model:
      try SettingRangeError.check(
        !rollout.rewardModel.isEmpty, "rollout.rewardModel", "\"\"",
        "a checkpoint of apus reward, or rollout.reward task")
    case .task:
      try SettingRangeError.check(
        !rollout.task.isEmpty, "rollout.task", "\"\"", "a task's name, or rollout.reward model")
      try SettingRangeError.check(
        rollout.scoreScale == .none, "rollout.scoreScale", rollout.scoreScale.rawValue,
        "none, since a rule's rewards are what they are")
    }
    try SettingRangeError.check(
      training.batch % rollout.minibatches == 0, "rollout.minibatches", rollout.minibatches,
      "a divisor of training.batch, \(training.batch)")
    func resolved(_ path: String) -> String {
      URL(filePath: path).standardizedFileURL.resolvingSymlinksInPath().path
    }
    let own = resolved("\(run.folder)/\(run.name)")
    for (field, path) in [
      ("rollout.reference", rollout.reference), ("rollout.rewardModel", rollout.rewardModel),
      ("ppo.critic", ppo.critic), ("data.start", data.start),
    ] {
      try SettingRangeError.check(
        path.isEmpty || !(resolved(path) + "/").hasPrefix(own + "/"), field, path,
        "a checkpoint of another run: the policy of this one changes")
    }
    guard run.stage == .grpo else { return }
    try SettingRangeError.check(
      training.batch % grpo.groupSize == 0, "grpo.groupSize", grpo.groupSize,
      "a divisor of training.batch, \(training.batch)")
  }
}
