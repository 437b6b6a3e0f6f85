// One model's answers against another's, prompt by prompt.

import Kernels

/// How often the first of two answers is worth more; a tie is half a win.
public struct WinRate: Codable, Sendable, Equatable {
  public let wins: Int
  public let ties: Int
  public let losses: Int
  public let rate: Double
  /// 95%. Wilson's; where prompts repeat, widened to what the bootstrap over prompts gives.
  public let interval: Interval

  /// `ours[i]` and `theirs[i]` are the worth of two answers to `prompts[i]`.
  public init(_ ours: [Double], against theirs: [Double], prompts: [[Int32]], seed: UInt64 = 0) {
    require(
      ours.count == theirs.count && ours.count == prompts.count && !ours.isEmpty,
      "\(ours.count) against \(theirs.count) answers to \(prompts.count) prompts")
    wins = zip(ours, theirs).count { $0 > $1 }
    losses = zip(ours, theirs).count { $0 < $1 }
    ties = ours.count - wins - losses
    rate = (Double(wins) + 0.5 * Double(ties)) / Double(ours.count)
    interval = shareInterval(
      zip(ours, theirs).map { $0 > $1 ? 1 : $0 == $1 ? 0.5 : 0 }, prompts: prompts,
      key: RandomKey(seed: seed, name: "win rate"))
  }
}

/// Wilson's interval of values between 0 and 1, widened by the bootstrap where prompts repeat.
func shareInterval(_ values: [Double], prompts: [[Int32]], key: RandomKey) -> Interval {
  let wilson = Interval.wilson(successes: values.reduce(0, +), trials: values.count)
  let clusters = clusters(of: prompts)
  guard Set(clusters).count < clusters.count else { return wilson }
  return wilson.union(.bootstrap(values, clusters: clusters, key: key))
}

/// Numbers equal prompts alike, in the order of their first appearance.
func clusters(of prompts: [[Int32]]) -> [Int] {
  var numbers: [[Int32]: Int] = [:]
  return prompts.map { prompt in
    let next = numbers.count
    let number = numbers[prompt] ?? next
    numbers[prompt] = number
    return number
  }
}
