// How well rewards order pairs: accuracy with its interval, and calibration.

import Foundation
import Kernels
import Parallel

/// How many pairs were ordered as their labels say. Tallies of several ranks add up.
public struct PairTally: Sendable, Equatable {
  public private(set) var pairs = 0
  /// Pairs whose chosen completion has the higher reward.
  public private(set) var right = 0
  /// Pairs with equal rewards; all of them while a head is zero.
  public private(set) var ties = 0

  public init() {}

  public mutating func add(_ rewards: Paired<Double>) {
    pairs += rewards.count
    for (c, r) in zip(rewards.chosen, rewards.rejected) {
      if c > r { right += 1 }
      if c == r { ties += 1 }
    }
  }

  public func summed(over group: Communicator) -> PairTally {
    var result = self
    let sums = group.sum([pairs, right, ties])
    result.pairs = sums[0]
    result.right = sums[1]
    result.ties = sums[2]
    return result
  }

  /// right / pairs: a tie is not right, as in TRL. 0 without pairs.
  public var accuracy: Double { Double(right) / Double(max(pairs, 1)) }

  /// The 95 % interval of the accuracy.
  public var interval: ClosedRange<Double> { wilsonInterval(right, of: pairs) }
}

/// Wilson's score interval (1927) of a share; z = 1.96 gives 95 %. Without trials 0 … 1.
///
/// (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)
public func wilsonInterval(
  _ successes: Int, of trials: Int, z: Double = 1.959963984540054
) -> ClosedRange<Double> {
  require((0...max(trials, 0)).contains(successes), "\(successes) successes of \(trials)")
  guard trials > 0 else { return 0...1 }
  let n = Double(trials)
  let share = Double(successes) / n
  let centre = share + z * z / (2 * n)
  let half = z * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
  let norm = 1 + z * z / n
  // At the ends the formula gives exactly 0 and 1, up to rounding.
  let low = successes == 0 ? 0 : max(0, (centre - half) / norm)
  let high = successes == trials ? 1 : min(1, (centre + half) / norm)
  return low...high
}

/// How often the favoured completion was the chosen one, against how surely it was favoured: the
/// reward model favours the higher reward with probability σ(|r_c − r_r|), which is ½ … 1.
public struct CalibrationCurve: Sendable, Equatable {
  /// Pairs whose probability lies in one of the equal parts of ½ … 1.
  public struct Bin: Sendable, Equatable {
    public fileprivate(set) var pairs = 0
    fileprivate var probability = 0.0
    fileprivate var right = 0.0

    /// Mean probability of the favoured completion.
    public var predicted: Double { probability / Double(max(pairs, 1)) }
    /// Share of pairs whose favoured completion was chosen; a tie is half right.
    public var observed: Double { right / Double(max(pairs, 1)) }
  }

  public private(set) var bins: [Bin]

  public init(bins: Int = 10) {
    require(bins > 0, "\(bins) bins")
    self.bins = Array(repeating: Bin(), count: bins)
  }

  public mutating func add(_ rewards: Paired<Double>) {
    for (c, r) in zip(rewards.chosen, rewards.rejected) where !(c - r).isNaN {
      let probability = Logistic.sigmoid(abs(c - r))
      let place = min(Int((probability - 0.5) * 2 * Double(bins.count)), bins.count - 1)
      bins[place].pairs += 1
      bins[place].probability += probability
      bins[place].right += c > r ? 1 : c == r ? 0.5 : 0
    }
  }

  public func summed(over group: Communicator) -> CalibrationCurve {
    let sums = group.sum(bins.flatMap { [Double($0.pairs), $0.probability, $0.right] })
    var result = self
    for place in bins.indices {
      result.bins[place].pairs = Int(sums[3 * place])
      result.bins[place].probability = sums[3 * place + 1]
      result.bins[place].right = sums[3 * place + 2]
    }
    return result
  }

  /// Σ |observed − predicted| · pairs / all pairs: the expected calibration error.
  public var error: Double {
    let pairs = bins.reduce(0) { $0 + $1.pairs }
    return bins.reduce(0) { $0 + abs($1.right - $1.probability) } / Double(max(pairs, 1))
  }
}
