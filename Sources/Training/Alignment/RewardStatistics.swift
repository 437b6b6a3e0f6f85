// What is reported of a reward model, under the names that users of TRL know.

import Kernels
import Parallel

/// Sums over pairs; those of several micro-batches and ranks add up.
public struct RewardStatistics: Sendable, Equatable {
  public private(set) var tally = PairTally()
  public private(set) var calibration = CalibrationCurve()
  private var loss = 0.0
  private var chosen = 0.0
  private var rejected = 0.0
  private var smallest = Double.infinity
  private var largest = -Double.infinity

  public init() {}

  /// Adds pairs, and the sum of their losses.
  public mutating func add(_ rewards: Paired<Double>, loss: Double) {
    tally.add(rewards)
    calibration.add(rewards)
    self.loss += loss
    chosen += rewards.chosen.reduce(0, +)
    rejected += rewards.rejected.reduce(0, +)
    for reward in rewards.chosen + rewards.rejected {
      smallest = min(smallest, reward)
      largest = max(largest, reward)
    }
  }

  /// The same over all ranks of a group.
  public func summed(over group: Communicator) -> RewardStatistics {
    var result = self
    result.tally = tally.summed(over: group)
    result.calibration = calibration.summed(over: group)
    let sums = group.sum([loss, chosen, rejected])
    (result.loss, result.chosen, result.rejected) = (sums[0], sums[1], sums[2])
    let extremes = group.maximum([-smallest, largest])
    (result.smallest, result.largest) = (-extremes[0], extremes[1])
    return result
  }

  /// Mean loss of a pair.
  public var meanLoss: Double { loss / Double(max(tally.pairs, 1)) }

  /// Means over pairs, or over both their completions.
  public var named: [(name: String, value: Double)] {
    let pairs = Double(max(tally.pairs, 1))
    return [
      ("loss", meanLoss),
      ("accuracy", tally.accuracy),
      ("margin", (chosen - rejected) / pairs),
      ("min_reward", smallest),
      ("mean_reward", (chosen + rejected) / (2 * pairs)),
      ("max_reward", largest),
    ]
  }

  /// The accuracy's interval, ties, and the calibration curve: of each part of ½ … 1 that has pairs,
  /// how many, the mean probability and how often it came true.
  public var details: [(name: String, value: Double)] {
    let width = 0.5 / Double(calibration.bins.count)
    var details: [(name: String, value: Double)] = [
      ("accuracy_low", tally.interval.lowerBound), ("accuracy_high", tally.interval.upperBound),
      ("ties", Double(tally.ties)), ("calibration/error", calibration.error),
    ]
    for (place, bin) in calibration.bins.enumerated() where bin.pairs > 0 {
      let name = "calibration/\(Figure.fixed(0.5 + Double(place) * width, 2))"
      details.append(("\(name)/pairs", Double(bin.pairs)))
      details.append(("\(name)/predicted", bin.predicted))
      details.append(("\(name)/observed", bin.observed))
    }
    return details
  }
}
