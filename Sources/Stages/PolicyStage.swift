// What PPO and GRPO share: prompts, models beside the policy, rollouts, the pull to the reference,
// evaluation.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// The part of a policy's stage that does not depend on how it learns.
final class PolicyStage {
  let data: PromptData
  private let configuration: RunConfiguration
  private let models: PolicyModels
  private let rule: AnswerReward?
  private let answersPerPrompt: Int
  private let microBatch: Int
  /// Once the models are there.
  private var source: RolloutSource!

  /// Shown in the line of a step.
  static let columns = [
    StageColumn("reward", "objective/scores"), StageColumn("exact KL", "kl/exact_per_sequence"),
    StageColumn("ended", "answers/ended"),
  ]

  init(
    _ configuration: RunConfiguration, reward: AnswerReward?, answersPerPrompt: Int = 1,
    over world: Communicator
  ) throws {
    self.configuration = configuration
    self.answersPerPrompt = answersPerPrompt
    microBatch = configuration.training.microBatch
    data = try PromptData(configuration, over: world)
    models = try world.agreeing { [data] in
      try PolicyModels(configuration, tokenizer: data.tokenizer)
    }
    rule = reward
    try world.agreeing {
      guard configuration.rollout.reward == .task, reward == nil else { return }
      throw SettingRangeError(
        field: "rollout.task", value: configuration.rollout.task,
        accepted: "a task that the command knows a rule of")
    }
  }

  /// The models are learnt from as well.
  var fingerprint: String {
    let rule = rule == nil ? "" : configuration.rollout.task
    return Digest.sha256(Array("\(data.fingerprint) \(models.fingerprint) \(rule)".utf8))
  }

  var sources: [RunSource] {
    [RunSource("examples.training", data.fingerprint)] + models.sources
  }

  var modelsLearnt: Int { models.modelsLearnt }

  var introduction: [String] {
    var lines = data.introduction
    lines.append("reference: \(models.reference.folder.path)")
    lines.append(
      models.reward.map { "rewards: model \($0.folder.path)" }
        ?? "rewards: the rule of task \(configuration.rollout.task)")
    if let critic = models.critic { lines.append("critic: \(critic.folder.path)") }
    return lines
  }

  func prepare(_ trainer: Trainer) throws {
    trainer.critic = try models.critic(beside: trainer)
    trainer.updatesPerStep = updates(of: trainer).updatesPerStep
    trainer.critic?.updatesPerStep = trainer.updatesPerStep
    let judge: Judge.Source
    if let reward = models.reward {
      judge = .model(try models.frozen(reward, beside: trainer))
    } else {
      judge = .rule(rule!)
    }
    source = RolloutSource(
      trainer: trainer, critic: trainer.critic,
      reference: try models.frozen(models.reference, beside: trainer),
      judge: Judge(source: judge, trainer: trainer), template: data.template,
      settings: configuration.rollout, seed: UInt64(configuration.run.seed),
      microBatch: microBatch,
      keepsReferenceHidden: configuration.run.stage == .ppo
        && configuration.ppo.klPlacement == .loss && configuration.ppo.klEstimator == .exact
        && configuration.ppo.klCoefficient > 0)
    guard configuration.rollout.scoreScale == .start else { return }
    let written = source.answers(
      to: prompts(step: 0), by: trainer.model, "score scale", firstSample: 0)
    source.judge = try source.judge.scaled(to: written.rows, microBatch: microBatch)
  }

  func updates(of trainer: Trainer) -> PolicyUpdates { PolicyUpdates(trainer, configuration) }

  /// Each prompt as often as it is answered.
  private func prompts(step: Int) -> [[Int32]] {
    data.prompts(step: step, count: configuration.training.batch / answersPerPrompt)
      .flatMap { Array(repeating: $0, count: answersPerPrompt) }
  }

  /// The answers of a step (from 0), scored and measured.
  func rollout(step: Int) throws -> Rollout {
    let order = updates(of: source.trainer).order(step: step, epoch: 0)
    return try source.rollout(
      prompts(step: step), step: step, order: order,
      minibatches: configuration.rollout.minibatches)
  }

  /// coefficient · KL(π‖π_ref) as a mean over the minibatch's tokens: this rank's part.
  func pull(
    _ pass: PolicyPass, _ batch: AnswerBatch, estimator: KLEstimator, _ rollout: Rollout,
    coefficient: Double, globalTokens: Int
  ) -> Variable {
    guard estimator == .exact else {
      return estimator.share(
        pass.logProbabilities.value.elements, reference: pass.own(rollout.reference),
        mask: pass.mask, coefficient: coefficient, globalTokens: globalTokens
      ).loss(of: pass.logProbabilities)
    }
    guard let kept = rollout.referenceHidden else {
      fatalError("a rollout without the reference's rows, which the exact divergence needs")
    }
    let device = source.trainer.device
    let divergence = pass.divergence(
      to: source.reference.logits(from: kept, at: pass.places, tokens: batch.places.count).value)
    let weight = coefficient / Double(max(globalTokens, 1))
    return weightedTotal(
      divergence,
      weights: device.tensor(divergence.value.shape, pass.mask.map { $0 ? weight : 0 }))
  }

  func statistics(_ rollout: Rollout, penaltyRewards: [Double]) -> RolloutStatistics {
    var statistics = RolloutStatistics()
    statistics.add(
      RolloutStatistics.Answers(
        logProbabilities: rollout.old, reference: rollout.reference, exactKL: rollout.exactKL,
        penaltyRewards: penaltyRewards, mask: rollout.rows.mask), scores: rollout.scores,
      hasEnd: rollout.hasEnd)
    return statistics
  }

  /// Scores of answers to prompts that are not trained on.
  func evaluate(_ trainer: Trainer) throws -> HeldOut? {
    guard let file = data.evaluation else { return nil }
    let written = source.answers(
      to: file.elements, by: trainer.model, "evaluation", firstSample: 0)
    let (rows, hasEnd) = (written.rows, written.hasEnd)
    let scores = configuration.rollout.missingEndRule.scores(
      try source.judge.scores(rows, microBatch: microBatch == 0 ? 16 : microBatch),
      hasEnd: hasEnd)
    let moments = Moments(of: scores, mask: scores.map { _ in true }, over: .alone())
    let error = (moments.unbiasedVariance / Double(scores.count)).squareRoot()
    let ended = Double(hasEnd.count { $0 }) / Double(hasEnd.count)
    return HeldOut(
      tokens: rows.mask.tokens,
      figures: [
        ("objective/scores", moments.mean), ("objective/scores_error", error),
        ("answers/ended", ended),
      ],
      note: "held-out reward \(Figure.fixed(moments.mean, 3)) ± \(Figure.fixed(error, 3)) of "
        + "\(scores.count) answers, \(Figure.percent(ended)) ended")
  }
}
