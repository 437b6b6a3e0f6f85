// Best-of-n sampling: what it costs in divergence and gives in reward, as the policy's yardstick.

import Foundation
import Kernels

public enum BestOfN {
  /// ln n − (n − 1)/n: nats between best-of-n and the policy that it samples, at most (Stiennon et
  /// al. 2020; equal where no two answers tie).
  public static func divergence(_ n: Int) -> Double {
    require(n >= 1, "best of \(n)")
    return log(Double(n)) - Double(n - 1) / Double(n)
  }

  /// The mean `gold` of the answer with the highest `proxy` among n, over all choices of n from the
  /// samples: unbiased for best-of-n (Nakano et al. 2021, §B). Samples that tie share their places.
  ///
  /// Σ_i C(i−1, n−1) / C(N, n) · gold_(i), i the rank by proxy from 1.
  public static func reward(_ n: Int, proxy: [Double], gold: [Double]) -> Double {
    let count = proxy.count
    require(gold.count == count, "\(gold.count) gold, \(count) proxy rewards")
    require(n >= 1 && n <= count, "best of \(n) from \(count) samples")
    let order = proxy.indices.sorted { proxy[$0] < proxy[$1] }
    // From the best downwards: w_N = n/N, w_{i−1} = w_i · (i − n)/(i − 1).
    var weight = Double(n) / Double(count)
    var total = 0.0
    var end = count
    while end > 0 {
      // Samples first ..< end tie.
      var first = end - 1
      while first > 0 && proxy[order[first - 1]] == proxy[order[end - 1]] { first -= 1 }
      let mean = order[first..<end].reduce(0) { $0 + gold[$1] } / Double(end - first)
      for rank in stride(from: end, to: first, by: -1) {
        total += weight * mean
        if rank > 1 { weight *= Double(max(rank - n, 0)) / Double(rank - 1) }
      }
      end = first
    }
    return total
  }
}
