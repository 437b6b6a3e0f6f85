// From an answer's score to rewards of its tokens.

import Kernels

/// What happens to the score of an answer that never ended.
public struct MissingEndRule: Codable, Sendable, Equatable {
  public enum Kind: String, Codable, Sendable, CaseIterable {
    /// The score is taken as it is.
    case keep
    /// The amount stands in place of the score (Ziegler et al. 2019).
    case replace
    /// The amount is taken from the score (TRL's `missing_eos_penalty`).
    case subtract
  }

  public var kind: Kind
  public var amount: Double

  public init(_ kind: Kind, amount: Double = 0) {
    self.kind = kind
    self.amount = amount
  }

  /// Scores after the rule; `hasEnd` says of each answer whether it ended.
  public func scores(_ scores: [Double], hasEnd: [Bool]) -> [Double] {
    require(scores.count == hasEnd.count, "\(scores.count) scores, \(hasEnd.count) answers")
    return zip(scores, hasEnd).map { score, hasEnd in
      switch (hasEnd, kind) {
      case (true, _), (false, .keep): score
      case (false, .replace): amount
      case (false, .subtract): score - amount
      }
    }
  }
}

/// R_t = −coefficient · penalty_t at every place, and the row's score added at `scorePlaces`, indices
/// into the flat table; a row without a place keeps no score.
///
/// Training passes `AnswerMask.lastPlaces`, so that the score falls on the end-of-sequence token. (TRL
/// puts it one place after the last token where the row has room.)
public func tokenRewards(
  penalties: [Double], coefficient: Double, scores: [Double], scorePlaces: [Int?]
) -> [Double] {
  require(scores.count == scorePlaces.count, "\(scores.count) scores, \(scorePlaces.count) places")
  var rewards = penalties.map { -coefficient * $0 }
  for (score, place) in zip(scores, scorePlaces) {
    if let place { rewards[place] += score }
  }
  return rewards
}
