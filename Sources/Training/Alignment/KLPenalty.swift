// The distance to the reference policy: estimates from one sample a token, and where they may stand.
//
// The exact divergence over the vocabulary is `relativeEntropy(of:to:)`.

import Foundation
import Kernels

/// Estimates of KL(π‖π_ref) from a token drawn from π (Schulman 2020, joschu.net/blog/kl-approx).
/// With δ = ln π − ln π_ref:
public enum KLEstimator: String, Codable, Sendable, CaseIterable {
  /// Σ over the vocabulary; no estimate.
  case exact
  /// δ: unbiased, may be negative.
  case k1
  /// δ²/2: biased, of low variance.
  case k2
  /// e^−δ − 1 + δ: unbiased, never negative, with heavy tails.
  case k3

  /// The estimate for one token, and its derivative by ln π. Not for `exact`.
  public func estimate(_ logProbability: Double, reference: Double) -> (
    value: Double, derivative: Double
  ) {
    let difference = logProbability - reference
    switch self {
    case .k1: return (difference, 1)
    case .k2: return (difference * difference / 2, difference)
    // e^−δ − 1 without cancellation where δ is small.
    case .k3: return (expm1(-difference) + difference, -expm1(-difference))
    case .exact: fatalError("the exact divergence is no function of one token's log-probability")
    }
  }

  /// The estimate at every place, 0 where the mask has no token.
  public func estimates(
    _ logProbabilities: [Double], reference: [Double], mask: AnswerMask
  ) -> [Double] {
    let places = mask.holdsToken
    require(
      logProbabilities.count == places.count && reference.count == places.count,
      "\(logProbabilities.count) and \(reference.count) log-probabilities, \(places.count) places")
    return places.indices.map {
      places[$0] ? estimate(logProbabilities[$0], reference: reference[$0]).value : 0
    }
  }

  /// coefficient · Σ estimates / `globalTokens` by the policy's log-probabilities. k1 is refused by
  /// `KLPlacement.validate`: its expected gradient is 0.
  public func share(
    _ logProbabilities: [Double], reference: [Double], mask: [Bool], coefficient: Double,
    globalTokens: Int
  ) -> LossShare {
    require(
      logProbabilities.count == mask.count && reference.count == mask.count,
      "\(logProbabilities.count) and \(reference.count) log-probabilities, \(mask.count) places")
    let norm = coefficient / Double(max(globalTokens, 1))
    var share = LossShare(value: 0, gradient: Array(repeating: 0, count: mask.count))
    for place in mask.indices where mask[place] {
      let (value, derivative) = estimate(logProbabilities[place], reference: reference[place])
      share.value += norm * value
      share.gradient[place] = norm * derivative
    }
    return share
  }
}

/// Where the pull to the reference stands.
public enum KLPlacement: String, Codable, Sendable, CaseIterable {
  /// R_t = −β · estimate_t, plus the score: what InstructGPT and TRL do. With k1 its policy gradient
  /// is that of the sequence's KL.
  case reward
  /// objective − β · KL, per token: the gradient leaves out what a token does to later divergence.
  case loss

  /// Throws for an estimator that cannot stand here; `section` is where both were read.
  public func validate(_ estimator: KLEstimator, section: String) throws {
    let refusal: (reason: String, accepted: String)? =
      switch (self, estimator) {
      case (.loss, .k1):
        (
          "k1 in the loss has the expected gradient E[∇ ln π] = 0 and pulls nowhere",
          "exact or k3 in the loss, k1 in the reward"
        )
      case (.loss, .k2): ("k2 is a biased estimate", "exact or k3 in the loss")
      case (.reward, .exact), (.reward, .k2), (.reward, .k3):
        (
          "only k1 as a reward gives the gradient of the sequence's KL",
          "k1 in the reward, exact or k3 in the loss"
        )
      case (.loss, .exact), (.loss, .k3), (.reward, .k1): nil
      }
    guard let refusal else { return }
    throw SettingRangeError(
      field: "\(section).klEstimator",
      value: "\(estimator.rawValue) with \(section).klPlacement \(rawValue): \(refusal.reason)",
      accepted: refusal.accepted)
  }
}
