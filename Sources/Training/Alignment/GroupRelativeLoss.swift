// The loss of group-relative policy optimisation in its published forms; no critic.

import Foundation
import Kernels

/// Over what a token's loss is averaged. Sums over ranks with global counts, as everywhere.
public enum GroupLossForm: String, Codable, Sendable, CaseIterable {
  /// Mean over an answer's tokens, then over answers (Shao et al. 2024).
  case grpo
  /// Mean over all tokens of the batch (Yu et al. 2025 and TRL's `bnpo`).
  case bnpo
  /// Sum over tokens / (answers · longest length allowed): no bias to length (Liu et al. 2025).
  case drGRPO = "dr-grpo"
}

/// What the clipped ratio is of.
public enum ImportanceLevel: String, Codable, Sendable, CaseIterable {
  /// π/π_old of the token.
  case token
  /// exp of the mean of ln π/π_old over the answer (GSPO, Zheng et al. 2025).
  case sequence
}

/// −min(ρA, clip(ρ, 1−ε_low, 1+ε_high) A) + β·k3 for each token, averaged as the form says.
public struct GroupRelativeLoss: Codable, Sendable, Equatable {
  public var form = GroupLossForm.grpo
  public var importance = ImportanceLevel.token
  public var clipLow = 0.2
  public var clipHigh = 0.2
  /// β of the pull to the reference, estimated by k3 in the loss; 0 needs no reference.
  public var klCoefficient = 0.0
  /// Longest answer allowed; `drGRPO` divides by it.
  public var longestAnswer = 0

  public init() {}

  /// Answers over all ranks, and their tokens.
  public struct Counts: Sendable {
    public var answers: Int
    public var tokens: Int

    public init(answers: Int, tokens: Int) {
      self.answers = answers
      self.tokens = tokens
    }
  }

  /// Per-token numbers of the answers; `advantages` is one an answer.
  public struct Answers: Sendable {
    public var new: [Double]
    public var old: [Double]
    /// nil without a pull.
    public var reference: [Double]?
    public var advantages: [Double]
    public var mask: AnswerMask

    public init(
      new: [Double], old: [Double], reference: [Double]?, advantages: [Double], mask: AnswerMask
    ) {
      let places = mask.holdsToken.count
      require(
        new.count == places && old.count == places && advantages.count == mask.rows
          && reference.map { $0.count == places } ?? true,
        "\(new.count) new, \(old.count) old, \(reference?.count ?? 0) reference, "
          + "\(advantages.count) advantages for \(places) places in \(mask.rows) rows")
      self.new = new
      self.old = old
      self.reference = reference
      self.advantages = advantages
      self.mask = mask
    }
  }

  /// This rank's part of the loss, by the new log-probabilities, and the sums that are reported.
  public func evaluate(_ answers: Answers, counts: Counts) -> (
    share: LossShare, statistics: UpdateStatistics
  ) {
    require(klCoefficient == 0 || answers.reference != nil, "a pull without a reference")
    require(form != .drGRPO || longestAnswer > 0, "longest answer \(longestAnswer)")
    let mask = answers.mask
    var share = LossShare(value: 0, gradient: Array(repeating: 0, count: mask.holdsToken.count))
    var statistics = UpdateStatistics()
    for (row, advantage) in answers.advantages.enumerated() {
      let places = mask.places(of: row).filter { mask.holdsToken[$0] }
      let weight = weight(length: places.count, counts)
      let differences = places.map { answers.new[$0] - answers.old[$0] }
      let length = Double(max(places.count, 1))
      let meanDifference = differences.reduce(0, +) / length
      // Derivative of the row's policy terms by the mean difference, where the ratio is the answer's.
      var sequenceSlope = 0.0
      for (place, own) in zip(places, differences) {
        let difference = importance == .token ? own : meanDifference
        let (loss, slope, ratio) = clipped(difference, advantage)
        share.value += weight * loss
        switch importance {
        case .token: share.gradient[place] += weight * slope
        case .sequence: sequenceSlope += weight * slope
        }
        statistics.addPolicyToken(
          loss: loss, ratio: ratio, logRatio: difference, isClipped: slope == 0 && advantage != 0)
        if klCoefficient != 0, let reference = answers.reference {
          let (value, derivative) = KLEstimator.k3.estimate(
            answers.new[place], reference: reference[place])
          share.value += weight * klCoefficient * value
          share.gradient[place] += weight * klCoefficient * derivative
        }
      }
      if importance == .sequence {
        for place in places { share.gradient[place] += sequenceSlope / length }
      }
    }
    return (share, statistics)
  }

  /// A token's loss, its derivative by the log of the ratio, and the ratio.
  private func clipped(_ difference: Double, _ advantage: Double) -> (
    loss: Double, slope: Double, ratio: Double
  ) {
    let ratio = exp(difference)
    let plain = -advantage * ratio
    let bounded = -advantage * min(max(ratio, 1 - clipLow), 1 + clipHigh)
    return bounded > plain ? (bounded, 0, ratio) : (plain, plain, ratio)
  }

  private func weight(length: Int, _ counts: Counts) -> Double {
    switch form {
    case .grpo: 1 / Double(max(length, 1)) / Double(max(counts.answers, 1))
    case .bnpo: 1 / Double(max(counts.tokens, 1))
    case .drGRPO: 1 / Double(max(counts.answers, 1)) / Double(longestAnswer)
    }
  }
}
