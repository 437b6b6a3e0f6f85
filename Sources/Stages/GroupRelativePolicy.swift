// Group-relative policy optimisation: answers to one prompt are compared with each other; no critic.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// Learns from rewards of groups of its own answers (Shao et al. 2024), in the forms of
/// `GroupRelativeLoss`.
///
/// A step is one iteration: `training.batch` answers, `grpo.groupSize` to each prompt.
public final class GroupRelativePolicy: Stage {
  public static let name = StageName.grpo
  private let configuration: RunConfiguration
  private let policy: PolicyStage
  private let loss: GroupRelativeLoss
  private var shown: [(name: String, value: Double)] = []

  /// `reward` is the task's rule, where the configuration wants one.
  public init(
    _ configuration: RunConfiguration, reward: AnswerReward?, over world: Communicator
  ) throws {
    self.configuration = configuration
    policy = try PolicyStage(
      configuration, reward: reward, answersPerPrompt: configuration.grpo.groupSize, over: world)
    loss = configuration.grpo.loss(longestAnswer: configuration.rollout.answerTokens)
  }

  public convenience init(_ configuration: RunConfiguration, over world: Communicator) throws {
    try self.init(configuration, reward: nil, over: world)
  }

  public var tokenizer: Tokenizer { policy.data.tokenizer }
  public var fingerprint: String { policy.fingerprint }
  public var sources: [RunSource] { policy.sources }
  public var introduction: [String] { policy.introduction }
  public static let columns = PolicyStage.columns
  /// The policy learns; reference and reward model do not.
  public static let memory = (held: 4, dealt: 2)

  public func prepare(_ trainer: Trainer) throws { try policy.prepare(trainer) }

  public func step(_ trainer: Trainer, step: Int, learningRate: Double) throws -> StepResult {
    var clock = PhaseClock(trainer.mesh.world.trace)
    let rollout = try policy.rollout(step: step)
    let settings = configuration.grpo
    let groups = GroupAdvantages(
      rollout.scores, groupSize: settings.groupSize, scale: settings.scale, over: .alone())
    clock.end("data")
    var result = try policy.updates(of: trainer).run(
      rollout, step: step, learningRate: learningRate, critic: nil
    ) { pass, batch, minibatch in
      let own = OwnAnswers(pass, batch, rollout.rows.mask, model: trainer.model)
      let (share, statistics) = loss.evaluate(
        GroupRelativeLoss.Answers(
          new: own.numbers.value.elements, old: own.of(rollout.old),
          reference: own.of(rollout.reference),
          advantages: own.rows.map { groups.advantages[$0] }, mask: own.mask),
        counts: GroupRelativeLoss.Counts(answers: minibatch.answers, tokens: minibatch.tokens))
      return (share.loss(of: own.numbers), statistics)
    }
    result.step.seconds += clock.phases
    let statistics = policy.statistics(
      rollout, penaltyRewards: Array(repeating: 0, count: rollout.old.count))
    let moments = Moments(
      of: rollout.scores, mask: rollout.scores.map { _ in true }, over: .alone())
    let lengths = rollout.rows.mask.lengths
    shown = statistics.named + UpdateStatistics.named(result.statistics)
    shown += [
      ("reward", moments.mean), ("reward_std", moments.unbiasedVariance.squareRoot()),
      ("frac_reward_zero_std", Double(groups.flatGroups) / Double(groups.groups)),
      ("completions/mean_length", Double(lengths.reduce(0, +)) / Double(lengths.count)),
      (
        "completions/clipped_ratio",
        Double(rollout.hasEnd.count { !$0 }) / Double(rollout.hasEnd.count)
      ),
      ("moe/router_shift", result.routerShift),
      ("episode", Double((step + 1) * rollout.rows.count)),
      ("val/first_ratio", result.statistics[0].meanRatio),
    ]
    return result.step
  }

  public func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)] { shown }

  public func evaluate(_ trainer: Trainer) throws -> HeldOut? { try policy.evaluate(trainer) }

  public func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>)? {
    try policy.data.template.samplePrompt(text)
  }
}
