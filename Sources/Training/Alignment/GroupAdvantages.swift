// Group-relative advantages (Shao et al. 2024): answers to one prompt are compared with each other.

import Kernels
import Parallel

/// What the deviation from the group's mean is divided by.
public enum AdvantageScale: String, Codable, Sendable, CaseIterable {
  /// The group's standard deviation + 10⁻⁴.
  case group
  /// That of all rewards of all ranks + 10⁻⁴.
  case batch
  /// Nothing (Liu et al. 2025).
  case none
}

/// A = (r − mean of the group) / scale for every answer, with unbiased standard deviations.
public struct GroupAdvantages: Sendable, Equatable {
  /// One for each reward.
  public let advantages: [Double]
  /// Groups of all ranks whose rewards are all equal: they teach nothing.
  public let flatGroups: Int
  /// Groups of all ranks.
  public let groups: Int

  /// `rewards` holds whole groups, `groupSize` answers each, one group after another.
  public init(
    _ rewards: [Double], groupSize: Int, scale: AdvantageScale, over group: Communicator
  ) {
    require(
      groupSize >= 2 && rewards.count % groupSize == 0,
      "\(rewards.count) rewards in groups of \(groupSize)")
    let epsilon = 1e-4
    let whole = Moments(
      of: rewards, mask: Array(repeating: true, count: rewards.count), over: group)
    var advantages: [Double] = []
    advantages.reserveCapacity(rewards.count)
    var flat = 0
    for start in stride(from: 0, to: rewards.count, by: groupSize) {
      let own = rewards[start..<start + groupSize]
      if own.allSatisfy({ $0 == own.first }) { flat += 1 }
      let mean = own.reduce(0, +) / Double(groupSize)
      let deviations = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      let divisor =
        switch scale {
        case .group: (deviations / Double(groupSize - 1)).squareRoot() + epsilon
        case .batch: whole.unbiasedVariance.squareRoot() + epsilon
        case .none: 1.0
        }
      advantages += own.map { ($0 - mean) / divisor }
    }
    self.advantages = advantages
    let counts = group.sum([flat, rewards.count / groupSize])
    flatGroups = counts[0]
    groups = counts[1]
  }
}
