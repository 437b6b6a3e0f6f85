// The Bradley–Terry loss of a reward model (Bradley & Terry 1952; Ouyang et al. 2022).

import Kernels
import Tensors

/// softplus(−(r_c − r_r − margin)) + centring · (r_c + r_r)² for each pair. Without margin and
/// centring this is −ln σ(r_c − r_r).
public struct RewardLoss: Codable, Sendable, Equatable {
  /// Pulls the mean of a pair's rewards to 0 (Eisenstein et al. 2023); 0 leaves it free.
  public var centring: Double

  public init(centring: Double = 0) { self.centring = centring }

  /// This rank's part of the mean over `globalPairs` pairs, by the chosen and the rejected rewards.
  ///
  /// `margins` say by how much a chosen completion should at least be better.
  public func evaluate(
    _ rewards: Paired<Double>, margins: [Double]? = nil, globalPairs: Int
  ) -> (value: Double, gradient: Paired<Double>) {
    require(
      margins.map { $0.count == rewards.count } ?? true,
      "\(margins?.count ?? 0) margins for \(rewards.count) pairs")
    let norm = 1 / Double(max(globalPairs, 1))
    var value = 0.0
    var gradient = rewards
    for i in 0..<rewards.count {
      let (c, r) = (rewards.chosen[i], rewards.rejected[i])
      let excess = c - r - (margins?[i] ?? 0)
      value += Logistic.softplus(-excess) + centring * (c + r) * (c + r)
      let slope = -Logistic.sigmoid(-excess)
      let pull = 2 * centring * (c + r)
      gradient.chosen[i] = norm * (slope + pull)
      gradient.rejected[i] = norm * (pull - slope)
    }
    return (value * norm, gradient)
  }

  /// The same on the tape: rewards are [pairs, 1] each.
  public func loss(
    chosen: Variable, rejected: Variable, margins: [Double]? = nil, globalPairs: Int
  ) -> Variable {
    let (value, gradient) = evaluate(
      Paired(chosen: chosen.value.elements, rejected: rejected.value.elements), margins: margins,
      globalPairs: globalPairs)
    return scalar(value, from: [(chosen, gradient.chosen), (rejected, gradient.rejected)])
  }
}
