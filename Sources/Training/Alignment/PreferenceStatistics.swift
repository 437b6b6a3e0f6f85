// What is reported of a preference loss, under the names that users of TRL know.

import Kernels
import Parallel

/// Sums over pairs; those of several micro-batches and ranks add up.
public struct PreferenceStatistics: Sendable, Equatable {
  public private(set) var tally = PairTally()
  private var loss = 0.0
  private var chosenReward = 0.0
  private var rejectedReward = 0.0
  private var chosenLogProbability = 0.0
  private var rejectedLogProbability = 0.0

  public init() {}

  /// Adds the pairs of an evaluation, with the policy's sequence log-probabilities.
  public mutating func add(_ evaluation: PreferenceEvaluation, policy: Paired<Double>) {
    require(
      evaluation.losses.count == policy.count,
      "\(evaluation.losses.count) losses of \(policy.count) pairs")
    tally.add(evaluation.rewards)
    loss += evaluation.losses.reduce(0, +)
    chosenReward += evaluation.rewards.chosen.reduce(0, +)
    rejectedReward += evaluation.rewards.rejected.reduce(0, +)
    chosenLogProbability += policy.chosen.reduce(0, +)
    rejectedLogProbability += policy.rejected.reduce(0, +)
  }

  /// The same over all ranks of a group.
  public func summed(over group: Communicator) -> PreferenceStatistics {
    var result = self
    result.tally = tally.summed(over: group)
    let sums = group.sum([
      loss, chosenReward, rejectedReward, chosenLogProbability, rejectedLogProbability,
    ])
    result.loss = sums[0]
    result.chosenReward = sums[1]
    result.rejectedReward = sums[2]
    result.chosenLogProbability = sums[3]
    result.rejectedLogProbability = sums[4]
    return result
  }

  /// Means over pairs.
  public var named: [(name: String, value: Double)] {
    let pairs = Double(max(tally.pairs, 1))
    return [
      ("loss", loss / pairs),
      ("rewards/chosen", chosenReward / pairs),
      ("rewards/rejected", rejectedReward / pairs),
      ("rewards/margins", (chosenReward - rejectedReward) / pairs),
      ("rewards/accuracies", tally.accuracy),
      ("logps/chosen", chosenLogProbability / pairs),
      ("logps/rejected", rejectedLogProbability / pairs),
    ]
  }
}
