// 95% intervals of shares and means: Wilson's, and the bootstrap over prompts.

import Glibc
import Kernels

/// Two ends of a 95% confidence interval.
public struct Interval: Codable, Sendable, Equatable {
  public let low: Double
  public let high: Double

  public init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }

  /// Wilson's score interval (Wilson 1927): sound at 0 and 1, where the normal one has no width.
  /// Halves are for ties, which only make it wider than it need be.
  public static func wilson(successes: Double, trials: Int) -> Interval {
    require(
      trials > 0 && successes >= 0 && successes <= Double(trials), "\(successes) of \(trials)")
    let n = Double(trials)
    let z = 1.959963984540054  // Φ(z) = 0.975
    let share = successes / n
    let centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    let half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(
      low: successes == 0 ? 0 : max(0, centre - half),
      high: successes == n ? 1 : min(1, centre + half))
  }

  /// Percentile bootstrap of a mean: whole clusters (answers to one prompt) are drawn again, since
  /// answers to one prompt resemble each other (Efron & Tibshirani 1993).
  public static func bootstrap(
    _ values: [Double], clusters: [Int], key: RandomKey, resamples: Int = 2000
  ) -> Interval {
    require(
      !values.isEmpty && values.count == clusters.count,
      "\(values.count) values in \(clusters.count) clusters")
    var sums = [(sum: Double, count: Int)](repeating: (0, 0), count: clusters.max()! + 1)
    for (value, cluster) in zip(values, clusters) {
      sums[cluster].sum += value
      sums[cluster].count += 1
    }
    let filled = sums.filter { $0.count > 0 }
    let means = (0..<resamples).map { resample in
      var draws = KeyedDraws(key.derived(UInt64(resample)))
      var total = 0.0
      var count = 0
      for _ in filled.indices {
        let cluster = draws.element(of: filled)
        total += cluster.sum
        count += cluster.count
      }
      return total / Double(count)
    }.sorted()
    let tail = Int((0.025 * Double(resamples)).rounded())
    return Interval(low: means[tail], high: means[resamples - 1 - tail])
  }

  /// The smallest interval that holds both.
  public func union(_ other: Interval) -> Interval {
    Interval(low: min(low, other.low), high: max(high, other.high))
  }
}
