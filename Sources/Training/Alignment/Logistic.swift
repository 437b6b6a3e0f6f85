// The logistic function and its logarithm, without overflow and without loss where they are small.

import Foundation

enum Logistic {
  /// ln(1 + eˣ) = −ln σ(−x).
  static func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

  /// σ(x) = 1 / (1 + e⁻ˣ).
  static func sigmoid(_ x: Double) -> Double {
    let e = exp(-abs(x))
    return (x >= 0 ? 1 : e) / (1 + e)
  }
}
