// Generalised advantage estimation (Schulman et al. 2015), over tables of answers.

import Kernels

/// δ_t = R_t + γ V_{t+1} − V_t and A_t = δ_t + γλ A_{t+1}; the return is A_t + V_t.
public struct GeneralizedAdvantage: Codable, Sendable, Equatable {
  /// γ: how much a reward is worth a token earlier.
  public var discount: Double
  /// λ: 0 trusts the critic after one token, 1 not at all.
  public var lambda: Double

  public init(discount: Double = 1, lambda: Double = 0.95) {
    self.discount = discount
    self.lambda = lambda
  }

  /// Where rows are cut into episodes, and what follows a row's last token.
  public struct Boundaries: Sendable {
    /// Whether an episode ends with the token at a place: nothing after it counts.
    public var isEnd: [Bool]
    /// The value after each row.
    public var lastValues: [Double]

    public init(isEnd: [Bool], lastValues: [Double]) {
      self.isEnd = isEnd
      self.lastValues = lastValues
    }
  }

  /// Advantages and returns at the mask's tokens, 0 elsewhere.
  ///
  /// Places without a token are passed over: the token before them sees the next token's value.
  /// Without `boundaries` every row is one episode, after which the value is 0.
  public func estimate(
    rewards: [Double], values: [Double], mask: AnswerMask, boundaries: Boundaries? = nil
  ) -> (advantages: [Double], returns: [Double]) {
    let count = mask.holdsToken.count
    require(
      rewards.count == count && values.count == count,
      "\(rewards.count) rewards, \(values.count) values, \(count) places")
    if let boundaries {
      require(
        boundaries.isEnd.count == count && boundaries.lastValues.count == mask.rows,
        "\(boundaries.isEnd.count) ends, \(boundaries.lastValues.count) last values, "
          + "\(count) places in \(mask.rows) rows")
    }
    var advantages = [Double](repeating: 0, count: count)
    var returns = advantages
    for row in 0..<mask.rows {
      var nextValue = boundaries?.lastValues[row] ?? 0
      var nextAdvantage = 0.0
      for place in mask.places(of: row).reversed() where mask.holdsToken[place] {
        let goesOn = boundaries?.isEnd[place] ?? false ? 0.0 : 1.0
        let surprise = rewards[place] + discount * nextValue * goesOn - values[place]
        nextAdvantage = surprise + discount * lambda * goesOn * nextAdvantage
        nextValue = values[place]
        advantages[place] = nextAdvantage
        returns[place] = nextAdvantage + values[place]
      }
    }
    return (advantages, returns)
  }
}
