// Whitening by the moments of all ranks, so that the number of ranks changes nothing.

import Kernels
import Parallel

/// Mean and variance over the marked values of all ranks of a group.
///
/// Advantages are whitened with the unbiased variance, as TRL's are, so that runs can be compared.
/// Not to be taken over a rank's own values alone: the objective would depend on the layout.
public struct Moments: Sendable, Equatable {
  public let count: Int
  public let mean: Double
  /// Σ (x − mean)².
  public let squaredDeviations: Double

  /// Two sums over the group: first for the mean, then of the squared deviations from it, since
  /// Σx² − n·mean² cancels. Where a group holds values alike, each rank marks only its own.
  public init(of values: [Double], mask: [Bool], over group: Communicator) {
    require(values.count == mask.count, "\(values.count) values, \(mask.count) places")
    var sums = [0.0, 0.0]
    for (value, isMarked) in zip(values, mask) where isMarked {
      sums[0] += 1
      sums[1] += value
    }
    sums = group.sum(sums)
    count = Int(sums[0])
    mean = sums[1] / max(sums[0], 1)
    var deviations = 0.0
    for (value, isMarked) in zip(values, mask) where isMarked {
      deviations += (value - mean) * (value - mean)
    }
    squaredDeviations = group.sum(deviations)
  }

  public var biasedVariance: Double { squaredDeviations / Double(max(count, 1)) }
  /// With n − 1; 0 for a single value.
  public var unbiasedVariance: Double { squaredDeviations / Double(max(count - 1, 1)) }

  /// (x − mean) / √(variance + 1e-8) at every place, the unbiased variance where none is given;
  /// `keepingMean` adds the mean again, as is done with rewards. Mask afterwards.
  public func whitened(
    _ values: [Double], variance: Double? = nil, keepingMean: Bool = false
  ) -> [Double] {
    let factor = 1 / ((variance ?? unbiasedVariance) + 1e-8).squareRoot()
    return values.map { ($0 - mean) * factor + (keepingMean ? mean : 0) }
  }
}

/// 1 − Var(returns − values) / Var(returns) over all ranks: 1 for a perfect critic, 0 for one that
/// says the mean, negative for worse; 0 where the returns do not vary.
public func explainedVariance(
  values: [Double], returns: [Double], mask: [Bool], over group: Communicator
) -> Double {
  require(values.count == returns.count, "\(values.count) values, \(returns.count) returns")
  let errors = Moments(of: zip(returns, values).map { $0 - $1 }, mask: mask, over: group)
  let all = Moments(of: returns, mask: mask, over: group)
  guard all.squaredDeviations > 0 else { return 0 }
  return 1 - errors.squaredDeviations / all.squaredDeviations
}
