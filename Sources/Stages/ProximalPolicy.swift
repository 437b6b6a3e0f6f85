// Proximal policy optimisation: answers, rewards, a critic, clipped updates, a pull to the reference.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// Learns from rewards of its own answers (Schulman et al. 2017; Ziegler et al. 2019):
/// E[min(ρA, clip(ρ, 1−ε, 1+ε)A)] − β·KL(π‖π_ref), or β·KL in the rewards.
///
/// A step is one iteration: `training.batch` answers, then epochs of minibatches. Old log-probabilities
/// are those with which the answers were drawn. They have the bits of the first update's, so that the
/// first ratio is exactly 1, unless ranks split the vocabulary or products are OpenBLAS's, whose bits
/// hang on the number of rows: then they agree up to rounding, and to the experts that it flips.
public final class ProximalPolicy: Stage {
  public static let name = StageName.ppo
  private let configuration: RunConfiguration
  private let policy: PolicyStage
  private let advantage: GeneralizedAdvantage
  private let policyLoss: ClippedPolicyLoss
  private let valueLoss: ClippedValueLoss
  private let schedule: LearningRateSchedule
  private var controller: KLController
  private var shown: [(name: String, value: Double)] = []

  /// `reward` is the task's rule, where the configuration wants one.
  public init(
    _ configuration: RunConfiguration, reward: AnswerReward?, over world: Communicator
  ) throws {
    self.configuration = configuration
    policy = try PolicyStage(configuration, reward: reward, over: world)
    let settings = configuration.ppo
    advantage = GeneralizedAdvantage(discount: settings.discount, lambda: settings.lambda)
    policyLoss = ClippedPolicyLoss(clip: settings.clip)
    valueLoss = ClippedValueLoss(clip: settings.valueClip)
    schedule = LearningRateSchedule(configuration.schedule, steps: configuration.training.steps)
    controller = settings.controller
  }

  public convenience init(_ configuration: RunConfiguration, over world: Communicator) throws {
    try self.init(configuration, reward: nil, over: world)
  }

  public var tokenizer: Tokenizer { policy.data.tokenizer }
  public var fingerprint: String { policy.fingerprint }
  public var sources: [RunSource] { policy.sources }
  public var introduction: [String] { policy.introduction }
  public static let columns = PolicyStage.columns
  /// Policy and critic learn; reference and reward model do not.
  public static let memory = (held: 6, dealt: 4)
  public var carried: [Double] { [controller.coefficient] }

  public func restore(_ carried: [Double]) {
    guard let coefficient = carried.first else { return }
    controller = KLController(
      coefficient: coefficient, adaptation: configuration.ppo.controller.adaptation)
  }

  public var modelsLearnt: Int { policy.modelsLearnt }

  public func prepare(_ trainer: Trainer) throws { try policy.prepare(trainer) }

  public func step(_ trainer: Trainer, step: Int, learningRate: Double) throws -> StepResult {
    var clock = PhaseClock(trainer.mesh.world.trace)
    let rollout = try policy.rollout(step: step)
    let settings = configuration.ppo
    let mask = rollout.rows.mask
    let penalties =
      settings.klPlacement == .reward
      ? settings.klEstimator.estimates(rollout.old, reference: rollout.reference, mask: mask)
      : Array(repeating: 0, count: mask.holdsToken.count)
    let penaltyRewards = penalties.map { -controller.coefficient * $0 }
    let rewards = tokenRewards(
      penalties: penalties, coefficient: controller.coefficient, scores: rollout.scores,
      scorePlaces: mask.lastPlaces)
    let (raw, returns) = advantage.estimate(rewards: rewards, values: rollout.values, mask: mask)
    // The rollout is whole on every rank: so are its moments.
    let advantages = Moments(of: raw, mask: mask.holdsToken, over: .alone()).whitened(raw)
    clock.end("data")
    let criticRate =
      settings.criticLearningRate == 0
      ? learningRate : settings.criticLearningRate * schedule.factor(step: step)
    let beta = controller.coefficient
    var result = try policy.updates(of: trainer).run(
      rollout, step: step, learningRate: learningRate,
      critic: (
        criticRate,
        { [valueLoss] values, places, minibatch in
          func own(_ table: [Double]) -> [Double] { places.map { $0 < 0 ? 0 : table[$0] } }
          let (share, statistics) = valueLoss.evaluate(
            ValueTokens(
              new: values.value.elements, old: own(rollout.values), returns: own(returns),
              mask: places.map { $0 >= 0 }), globalTokens: minibatch.tokens)
          return (share.loss(of: values), statistics)
        }
      )
    ) { pass, batch, minibatch in
      let (share, statistics) = policyLoss.evaluate(
        PolicyTokens(
          new: pass.logProbabilities.value.elements, old: pass.own(rollout.old),
          advantages: pass.own(advantages), mask: pass.mask), globalTokens: minibatch.tokens)
      let loss = share.loss(of: pass.logProbabilities)
      guard settings.klPlacement == .loss && beta > 0 else { return (loss, statistics) }
      let pull = policy.pull(
        pass, batch, estimator: settings.klEstimator, rollout, coefficient: beta,
        globalTokens: minibatch.tokens)
      return (weightedSum([(1, loss), (1, pull)]), statistics)
    }
    result.step.seconds += clock.phases
    show(rollout, penaltyRewards, returns, result, step: step)
    return result.step
  }

  /// Keeps what is reported, and lets the coefficient follow the divergence.
  private func show(
    _ rollout: Rollout, _ penaltyRewards: [Double], _ returns: [Double], _ result: UpdateResult,
    step: Int
  ) {
    let mask = rollout.rows.mask
    let statistics = policy.statistics(rollout, penaltyRewards: penaltyRewards)
    shown = statistics.named + UpdateStatistics.named(result.statistics)
    shown += [
      (
        "val/explained_variance",
        explainedVariance(
          values: rollout.values, returns: returns, mask: mask.holdsToken, over: .alone())
      ),
      ("objective/kl_coef", controller.coefficient), ("moe/router_shift", result.routerShift),
      ("episode", Double((step + 1) * rollout.rows.count)),
      ("val/first_ratio", result.statistics[0].meanRatio),
    ]
    controller.update(
      perSequence: statistics.exactKL(per: .sequence), perToken: statistics.exactKL(per: .token),
      answers: rollout.rows.count)
  }

  public func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)] { shown }

  public func evaluate(_ trainer: Trainer) throws -> HeldOut? { try policy.evaluate(trainer) }

  public func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>)? {
    try policy.data.template.samplePrompt(text)
  }
}
