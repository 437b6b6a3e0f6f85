// eˣ on lanes, by a polynomial: the C library's takes one number at a time. And the logistic function.

import CBLAS

extension FloatLanes {
  // x = n·ln 2 + r with |r| ≤ ln 2 / 2, then 1 + r + r²·q(r) with q of degree 4 through the values at
  // Chebyshev's nodes (error 1e-8), times 2ⁿ. Adding 1.5·2²³ leaves the rounded n in the low bits.
  @inline(__always) func exponential() -> Self {
    let magic = Raw(repeating: 12_582_912)
    let lowest = Raw(repeating: -86.98)
    let highest = Raw(repeating: 88.722_84)
    var x = raw.replacing(with: lowest, where: raw .< lowest)
    x = x.replacing(with: highest, where: raw .> highest)
    let shifted = magic.addingProduct(x, Raw(repeating: 1.442_695_04))
    let n = shifted - magic
    var r = x.addingProduct(n, Raw(repeating: -0.693_145_75))
    r = r.addingProduct(n, Raw(repeating: -1.428_606_8e-6))
    var p = Raw(repeating: 1.392_826_72e-3)
    p = Raw(repeating: 8.363_179_05e-3).addingProduct(p, r)
    p = Raw(repeating: 4.166_652_33e-2).addingProduct(p, r)
    p = Raw(repeating: 1.666_657_70e-1).addingProduct(p, r)
    p = Raw(repeating: 5.000_000_01e-1).addingProduct(p, r)
    p = Raw(repeating: 1).addingProduct(p, r)
    p = Raw(repeating: 1).addingProduct(p, r)
    // 2p·2ⁿ⁻¹, because 2¹²⁸ is no float: the exponent field of 2ⁿ⁻¹ is n + 126, here 1 to 254.
    let bits = unsafeBitCast(shifted, to: SIMD16<UInt32>.self)
    let scale = unsafeBitCast((bits &+ 126) &<< 23, to: Raw.self)
    let result = (p + p) * scale
    let zero = Raw(repeating: 0)
    let infinity = Raw(repeating: .infinity)
    return Self(
      raw: result.replacing(with: zero, where: raw .< lowest)
        .replacing(with: infinity, where: raw .> highest))
  }
}

extension DoubleLanes {
  // As FloatLanes does it, with the Taylor polynomial of degree 13: its error is 4e-18.
  @inline(__always) func exponential() -> Self {
    let magic = Raw(repeating: 6_755_399_441_055_744)
    let lowest = Raw(repeating: -708.04)
    let highest = Raw(repeating: 709.782_712_893_384)
    var x = raw.replacing(with: lowest, where: raw .< lowest)
    x = x.replacing(with: highest, where: raw .> highest)
    let shifted = magic.addingProduct(x, Raw(repeating: 1.442_695_040_888_963_4))
    let n = shifted - magic
    var r = x.addingProduct(n, Raw(repeating: -0.693_147_180_369_123_82))
    r = r.addingProduct(n, Raw(repeating: -1.908_214_929_270_587_7e-10))
    var p = Raw(repeating: 1.0 / 6_227_020_800)
    p = Raw(repeating: 1.0 / 479_001_600).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 39_916_800).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 3_628_800).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 362_880).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 40_320).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 5_040).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 720).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 120).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 24).addingProduct(p, r)
    p = Raw(repeating: 1.0 / 6).addingProduct(p, r)
    p = Raw(repeating: 0.5).addingProduct(p, r)
    p = Raw(repeating: 1).addingProduct(p, r)
    p = Raw(repeating: 1).addingProduct(p, r)
    let bits = unsafeBitCast(shifted, to: SIMD8<UInt64>.self)
    let scale = unsafeBitCast((bits &+ 1022) &<< 52, to: Raw.self)
    let result = (p + p) * scale
    let zero = Raw(repeating: 0)
    let infinity = Raw(repeating: .infinity)
    return Self(
      raw: result.replacing(with: zero, where: raw .< lowest)
        .replacing(with: infinity, where: raw .> highest))
  }
}

/// Lanes with a logistic function.
protocol LogisticLanes: LaneVector {
  /// 1 / (1 + e^−x); NaN stays.
  func logistic() -> Self
}

extension FloatLanes: LogisticLanes {
  // e^−x = 2ⁿ·2ʳ, −x / ln 2 = n + r with |r| ≤ ½, from the exact product with the high part of 1 / ln 2;
  // 2ʳ by `powerOfTwo`'s polynomial. Beyond ±87 the result stays where it is, 2e-38 from 0 or 0 from 1.
  // One step of Newton's method on an estimate is within a unit in the last place, and two thirds of a
  // division's time.
  @inline(__always) func logistic() -> Self {
    let magic = Self(12_582_912)
    let x = larger(Self(-87)).smaller(Self(87))
    let shifted = magic.adding(x, times: Self(-1.442_695_02))
    let n = shifted - magic
    let r = (-n).adding(x, times: Self(-1.442_695_02)).adding(x, times: Self(-1.925_963e-8))
    let bits = unsafeBitCast(shifted.raw, to: SIMD16<UInt32>.self)
    let scale = Self(raw: unsafeBitCast((bits &+ 127) &<< 23, to: Raw.self))
    let below = Self(1).adding(Self.powerOfFraction(r), times: scale)
    let estimate = Self(raw: lane_reciprocal_float(below.raw))
    return estimate.adding(estimate, times: Self(1).adding(-below, times: estimate))
  }
}

extension DoubleLanes: LogisticLanes {
  @inline(__always) func logistic() -> Self { Self(1) / (Self(1) + (-self).exponential()) }
}
