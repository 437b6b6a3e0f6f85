// How many of how many, with Wilson's interval, and what repeated attempts would reach.

import Kernels

/// A count out of a count.
public struct Share: Codable, Sendable, Equatable {
  public let successes: Int
  public let trials: Int
  public let rate: Double
  /// Wilson's, 95%.
  public let interval: Interval

  public init(_ successes: Int, of trials: Int) {
    interval = .wilson(successes: Double(successes), trials: trials)
    self.successes = successes
    self.trials = trials
    rate = Double(successes) / Double(trials)
  }

  /// `44.0% (34.7–53.8%)`
  public var text: String {
    "\(percent(rate))% (\(percent(interval.low))–\(percent(interval.high))%)"
  }
}

/// A share in percent with one decimal.
func percent(_ share: Double) -> String { String((share * 1000).rounded() / 10) }

/// The chance that one of k answers succeeds, from n answers of which c did: 1 − C(n−c, k) / C(n, k).
/// Unbiased (Chen 2021, §2.1). At most as many answers as were drawn.
public func successProbability(at k: Int, successes c: Int, of n: Int) -> Double {
  require(0 <= c && c <= n && 1 <= k && k <= n, "\(k) of \(n) answers, \(c) successes")
  guard n - c >= k else { return 1 }
  // C(n−c, k) / C(n, k) as a product of k factors below 1.
  var failure = 1.0
  for drawn in 0..<k { failure *= Double(n - c - drawn) / Double(n - drawn) }
  return 1 - failure
}
