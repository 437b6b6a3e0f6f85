// The two losses of proximal policy optimisation (Schulman et al. 2017) and what they are watched by.

import Foundation
import Kernels

/// −E[min(ρA, clip(ρ, 1−ε, 1+ε) A)] with ρ = π/π_old, over tokens.
public struct ClippedPolicyLoss: Codable, Sendable, Equatable {
  /// ε.
  public var clip: Double

  public init(clip: Double = 0.2) { self.clip = clip }

  /// This rank's part of the mean over `globalTokens` marked tokens, by the new log-probabilities,
  /// and the sums that are reported. Arrays hold one number a place.
  public func evaluate(_ tokens: PolicyTokens, globalTokens: Int) -> (
    share: LossShare, statistics: UpdateStatistics
  ) {
    let norm = 1 / Double(max(globalTokens, 1))
    var share = LossShare(value: 0, gradient: Array(repeating: 0, count: tokens.mask.count))
    var statistics = UpdateStatistics()
    for place in tokens.mask.indices where tokens.mask[place] {
      let advantage = tokens.advantages[place]
      let ratio = tokens.ratio(at: place)
      let plain = -advantage * ratio
      let bounded = -advantage * min(max(ratio, 1 - clip), 1 + clip)
      // Where the bounded loss is larger the ratio lies outside and the gradient is 0.
      let isClipped = bounded > plain
      let loss = isClipped ? bounded : plain
      share.value += norm * loss
      share.gradient[place] = isClipped ? 0 : norm * plain
      statistics.addPolicyToken(
        loss: loss, ratio: ratio, logRatio: tokens.new[place] - tokens.old[place],
        isClipped: isClipped)
    }
    return (share, statistics)
  }
}

/// Per-token numbers of answers in an update; places that `mask` leaves out are not looked at.
public struct PolicyTokens: Sendable {
  /// Log-probabilities of the policy that is trained.
  public var new: [Double]
  /// Those of the policy that wrote the answers.
  public var old: [Double]
  public var advantages: [Double]
  public var mask: [Bool]

  public init(new: [Double], old: [Double], advantages: [Double], mask: [Bool]) {
    let count = mask.count
    require(
      new.count == count && old.count == count && advantages.count == count,
      "\(new.count) new, \(old.count) old, \(advantages.count) advantages, \(count) places")
    self.new = new
    self.old = old
    self.advantages = advantages
    self.mask = mask
  }

  /// ρ = π/π_old.
  public func ratio(at place: Int) -> Double { exp(new[place] - old[place]) }
}

/// ½ E[max((V − R)², (V_clip − R)²)] with V_clip = V_old + clip(V − V_old, ±ε), over tokens.
public struct ClippedValueLoss: Codable, Sendable, Equatable {
  /// ε.
  public var clip: Double

  public init(clip: Double = 0.2) { self.clip = clip }

  /// This rank's part of the mean over `globalTokens` marked tokens, by the new values, and the sums
  /// that are reported.
  public func evaluate(_ tokens: ValueTokens, globalTokens: Int) -> (
    share: LossShare, statistics: UpdateStatistics
  ) {
    let norm = 1 / Double(max(globalTokens, 1))
    var share = LossShare(value: 0, gradient: Array(repeating: 0, count: tokens.mask.count))
    var statistics = UpdateStatistics()
    for place in tokens.mask.indices where tokens.mask[place] {
      let (value, old) = (tokens.new[place], tokens.old[place])
      let error = value - tokens.returns[place]
      let bounded = old + min(max(value - old, -clip), clip) - tokens.returns[place]
      // Within the bounds both are the same but for rounding, which must not decide.
      let isClipped = abs(value - old) > clip && bounded * bounded > error * error
      let loss = 0.5 * (isClipped ? bounded * bounded : error * error)
      share.value += norm * loss
      share.gradient[place] = isClipped ? 0 : norm * error
      statistics.addValueToken(loss: loss, isClipped: isClipped)
    }
    return (share, statistics)
  }
}

/// Per-token numbers of the critic in an update.
public struct ValueTokens: Sendable {
  /// Values of the critic that is trained.
  public var new: [Double]
  /// Its values when the answers were written.
  public var old: [Double]
  public var returns: [Double]
  public var mask: [Bool]

  public init(new: [Double], old: [Double], returns: [Double], mask: [Bool]) {
    let count = mask.count
    require(
      new.count == count && old.count == count && returns.count == count,
      "\(new.count) new, \(old.count) old, \(returns.count) returns, \(count) places")
    self.new = new
    self.old = old
    self.returns = returns
    self.mask = mask
  }
}
