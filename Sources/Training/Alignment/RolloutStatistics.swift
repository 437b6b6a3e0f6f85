// What is reported of the answers of an iteration, under the names that users of TRL know.

import Kernels
import Parallel

/// Sums over answers and their tokens; those of several ranks add up.
public struct RolloutStatistics: Sendable, Equatable {
  /// Per-token numbers of the answers, one a place of the mask.
  public struct Answers: Sendable {
    /// Of the policy that wrote them.
    public var logProbabilities: [Double]
    /// Of the reference.
    public var reference: [Double]
    /// KL(π‖π_ref) over the vocabulary.
    public var exactKL: [Double]
    /// Rewards before the scores were added: −β · estimate, or 0 where the pull stands in the loss.
    public var penaltyRewards: [Double]
    public var mask: AnswerMask

    public init(
      logProbabilities: [Double], reference: [Double], exactKL: [Double],
      penaltyRewards: [Double], mask: AnswerMask
    ) {
      self.logProbabilities = logProbabilities
      self.reference = reference
      self.exactKL = exactKL
      self.penaltyRewards = penaltyRewards
      self.mask = mask
    }
  }

  private var answers = 0.0
  private var tokens = 0.0
  private var ends = 0.0
  private var scores = 0.0
  private var penalty = 0.0
  private var surprise = 0.0
  private var exact = 0.0
  private var k1 = 0.0
  private var k3 = 0.0

  public init() {}

  /// Adds answers with their scores after the rule for missing ends.
  public mutating func add(_ answers: Answers, scores: [Double], hasEnd: [Bool]) {
    let mask = answers.mask
    require(
      scores.count == mask.rows && hasEnd.count == mask.rows,
      "\(scores.count) scores, \(hasEnd.count) ends, \(mask.rows) answers")
    func total(_ values: [Double]) -> Double { mask.rowSums(values).reduce(0, +) }
    func total(_ estimator: KLEstimator) -> Double {
      total(
        estimator.estimates(answers.logProbabilities, reference: answers.reference, mask: mask))
    }
    self.answers += Double(mask.rows)
    tokens += Double(mask.tokens)
    ends += hasEnd.reduce(0) { $0 + ($1 ? 1 : 0) }
    self.scores += scores.reduce(0, +)
    penalty += total(answers.penaltyRewards)
    surprise -= total(answers.logProbabilities)
    exact += total(answers.exactKL)
    k1 += total(.k1)
    k3 += total(.k3)
  }

  private var sums: [Double] {
    get { [answers, tokens, ends, scores, penalty, surprise, exact, k1, k3] }
    set {
      answers = newValue[0]
      tokens = newValue[1]
      ends = newValue[2]
      scores = newValue[3]
      penalty = newValue[4]
      surprise = newValue[5]
      exact = newValue[6]
      k1 = newValue[7]
      k3 = newValue[8]
    }
  }

  public func summed(over group: Communicator) -> RolloutStatistics {
    var result = self
    result.sums = group.sum(sums)
    return result
  }

  /// Mean exact divergence in a unit: what the controller follows.
  public func exactKL(per unit: KLUnit) -> Double {
    exact / max(unit == .sequence ? answers : tokens, 1)
  }

  /// `objective/kl` and `objective/entropy` are sums over an answer's tokens, mean over answers, the
  /// former TRL's k1, the latter −ln π of the tokens drawn. `kl/…` are in nats, by answer and token.
  public var named: [(name: String, value: Double)] {
    let rows = max(answers, 1)
    let places = max(tokens, 1)
    return [
      ("objective/kl", k1 / rows),
      ("objective/entropy", surprise / rows),
      ("objective/non_score_reward", penalty / rows),
      ("objective/scores", scores / rows),
      ("objective/rlhf_reward", (penalty + scores) / rows),
      ("val/num_eos_tokens", ends),
      ("answers/ended", ends / rows),
      ("answers/mean_length", tokens / rows),
      ("kl/exact_per_sequence", exact / rows),
      ("kl/k1_per_sequence", k1 / rows),
      ("kl/k3_per_sequence", k3 / rows),
      ("kl/exact_per_token", exact / places),
      ("kl/k1_per_token", k1 / places),
      ("kl/k3_per_token", k3 / places),
    ]
  }
}
