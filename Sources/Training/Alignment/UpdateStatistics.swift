// What is reported of the minibatches of an iteration, under the names that users of TRL know.

import Parallel

/// Sums over the tokens of one minibatch; those of its micro-batches and ranks add up.
public struct UpdateStatistics: Sendable, Equatable {
  private var tokens = 0.0
  private var policyLoss = 0.0
  private var ratio = 0.0
  private var squaredLogRatio = 0.0
  private var clippedTokens = 0.0
  private var entropy = 0.0
  private var valueTokens = 0.0
  private var valueLoss = 0.0
  private var clippedValues = 0.0

  public init() {}

  mutating func addPolicyToken(loss: Double, ratio: Double, logRatio: Double, isClipped: Bool) {
    tokens += 1
    policyLoss += loss
    self.ratio += ratio
    squaredLogRatio += logRatio * logRatio
    clippedTokens += isClipped ? 1 : 0
  }

  mutating func addValueToken(loss: Double, isClipped: Bool) {
    valueTokens += 1
    valueLoss += loss
    clippedValues += isClipped ? 1 : 0
  }

  /// Adds the sum of the policy's entropies at the minibatch's tokens.
  public mutating func addEntropy(_ sum: Double) { entropy += sum }

  private var sums: [Double] {
    get {
      [
        tokens, policyLoss, ratio, squaredLogRatio, clippedTokens, entropy, valueTokens, valueLoss,
        clippedValues,
      ]
    }
    set {
      tokens = newValue[0]
      policyLoss = newValue[1]
      ratio = newValue[2]
      squaredLogRatio = newValue[3]
      clippedTokens = newValue[4]
      entropy = newValue[5]
      valueTokens = newValue[6]
      valueLoss = newValue[7]
      clippedValues = newValue[8]
    }
  }

  public static func += (a: inout UpdateStatistics, b: UpdateStatistics) {
    a.sums = zip(a.sums, b.sums).map(+)
  }

  public func summed(over group: Communicator) -> UpdateStatistics {
    var result = self
    result.sums = group.sum(sums)
    return result
  }

  public var meanPolicyLoss: Double { policyLoss / max(tokens, 1) }
  public var meanValueLoss: Double { valueLoss / max(valueTokens, 1) }
  /// Mean of π/π_old: 1 at the first minibatch.
  public var meanRatio: Double { ratio / max(tokens, 1) }
  /// ½ E[(ln π − ln π_old)²].
  public var approximateKL: Double { 0.5 * squaredLogRatio / max(tokens, 1) }
  /// Share of tokens whose gradient the clip stops.
  public var clippedShare: Double { clippedTokens / max(tokens, 1) }
  public var clippedValueShare: Double { clippedValues / max(valueTokens, 1) }
  public var meanEntropy: Double { entropy / max(tokens, 1) }

  /// TRL's names for an iteration's minibatches, each summed over all ranks: means over minibatches,
  /// and the unbiased variance over them of the mean ratio.
  public static func named(_ minibatches: [UpdateStatistics]) -> [(name: String, value: Double)] {
    let count = Double(max(minibatches.count, 1))
    func mean(_ value: KeyPath<UpdateStatistics, Double>) -> Double {
      minibatches.reduce(0) { $0 + $1[keyPath: value] } / count
    }
    let ratio = mean(\.meanRatio)
    let spread = minibatches.reduce(0) { $0 + ($1.meanRatio - ratio) * ($1.meanRatio - ratio) }
    return [
      ("policy/approxkl_avg", mean(\.approximateKL)),
      ("policy/clipfrac_avg", mean(\.clippedShare)),
      ("policy/entropy_avg", mean(\.meanEntropy)),
      ("loss/policy_avg", mean(\.meanPolicyLoss)),
      ("loss/value_avg", mean(\.meanValueLoss)),
      ("val/clipfrac_avg", mean(\.clippedValueShare)),
      ("val/ratio", ratio),
      ("val/ratio_var", spread / max(count - 1, 1)),
    ]
  }
}
