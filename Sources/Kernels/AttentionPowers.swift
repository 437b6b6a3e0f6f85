// 2ˣ and ln x as softmax needs them: attention's scores are kept in units of ln 2, so that no
// argument of 2ˣ is above zero and none has to be scaled.

/// ln 2: a score in natural units is so much times the one that is kept.
let naturalPerBinary = 0.693_147_180_559_945_309_4

/// Lanes with a short 2ˣ.
protocol PowerLanes: LaneVector {
  /// 2ˣ for x ≤ 0, within 2 units in the last place; no less than the smallest normal number. NaN
  /// stays.
  func powerOfTwo() -> Self
  /// ln x within 1 unit in the last place for normal x, −∞ for x = 0; NaN stays.
  func logarithm() -> Self
}

// x = n + r with |r| ≤ ½; adding 1.5·2²³ (1.5·2⁵²) leaves the rounded n in the low bits.

extension FloatLanes: PowerLanes {
  @inline(__always) func powerOfTwo() -> FloatLanes {
    let magic = FloatLanes(12_582_912)
    let x = larger(FloatLanes(-126))
    let shifted = x + magic
    let bits = unsafeBitCast(shifted.raw, to: SIMD16<UInt32>.self)
    return Self.powerOfFraction(x - (shifted - magic))
      * FloatLanes(raw: unsafeBitCast((bits &+ 127) &<< 23, to: SIMD16<Float>.self))
  }

  /// 2ʳ for |r| ≤ ½: the polynomial of degree 6 through it at Chebyshev's nodes, whose error is 4e-9.
  @inline(__always) static func powerOfFraction(_ r: FloatLanes) -> FloatLanes {
    var p = FloatLanes(1.545316295e-04)
    p = FloatLanes(1.339086336e-03).adding(p, times: r)
    p = FloatLanes(9.618082557e-03).adding(p, times: r)
    p = FloatLanes(5.550357114e-02).adding(p, times: r)
    p = FloatLanes(2.402265076e-01).adding(p, times: r)
    p = FloatLanes(6.931471880e-01).adding(p, times: r)
    return FloatLanes(1).adding(p, times: r)
  }
}

extension FloatLanes {
  // x = 2ⁿ·(1 + f) with 1 + f between √½ and √2; ln(1 + f) by the polynomial of Cephes' logf. Adding
  // n to the bits of 1.5·2²³ makes it a float.
  @inline(__always) func logarithm() -> FloatLanes {
    let root = SIMD16<UInt32>(repeating: 0x3F35_04F3)
    let bits = unsafeBitCast(raw, to: SIMD16<UInt32>.self)
    // n + 127, since the bits of √½ are below 127 in the exponent's field.
    let exponent = (bits &+ (0x3F80_0000 &- root)) &>> 23
    let mantissa = bits &- (exponent &- 127) &<< 23
    let f = FloatLanes(raw: unsafeBitCast(mantissa, to: SIMD16<Float>.self)) - FloatLanes(1)
    let shifted = FloatLanes(
      raw: unsafeBitCast(exponent &+ 0x4B40_0000, to: SIMD16<Float>.self))
    let n = shifted - FloatLanes(12_582_912 + 127)
    let square = f * f
    var p = FloatLanes(7.037_683_629_2e-2)
    p = FloatLanes(-1.151_461_031e-1).adding(p, times: f)
    p = FloatLanes(1.167_699_874e-1).adding(p, times: f)
    p = FloatLanes(-1.242_014_084_6e-1).adding(p, times: f)
    p = FloatLanes(1.424_932_278_7e-1).adding(p, times: f)
    p = FloatLanes(-1.666_805_766_5e-1).adding(p, times: f)
    p = FloatLanes(2.000_071_476_5e-1).adding(p, times: f)
    p = FloatLanes(-2.499_999_399_3e-1).adding(p, times: f)
    p = FloatLanes(3.333_333_117_4e-1).adding(p, times: f)
    p = (p * f * square).adding(n, times: FloatLanes(-2.121_944_4e-4))
      .adding(square, times: FloatLanes(-0.5))
    let result = (f + p).adding(n, times: FloatLanes(0.693_359_375))
    return result.kept(where: self, exceeds: .zero, else: self - FloatLanes(.infinity))
  }
}

extension DoubleLanes: PowerLanes {
  // Taylor's polynomial of degree 13 for e to the r·ln 2: its error is 5e-18.
  @inline(__always) func powerOfTwo() -> DoubleLanes {
    let magic = DoubleLanes(6_755_399_441_055_744)
    let x = larger(DoubleLanes(-1022))
    let shifted = x + magic
    let r = (x - (shifted - magic)) * DoubleLanes(0.693_147_180_559_945_309_4)
    var p = DoubleLanes(1.0 / 6_227_020_800)
    p = DoubleLanes(1.0 / 479_001_600).adding(p, times: r)
    p = DoubleLanes(1.0 / 39_916_800).adding(p, times: r)
    p = DoubleLanes(1.0 / 3_628_800).adding(p, times: r)
    p = DoubleLanes(1.0 / 362_880).adding(p, times: r)
    p = DoubleLanes(1.0 / 40_320).adding(p, times: r)
    p = DoubleLanes(1.0 / 5_040).adding(p, times: r)
    p = DoubleLanes(1.0 / 720).adding(p, times: r)
    p = DoubleLanes(1.0 / 120).adding(p, times: r)
    p = DoubleLanes(1.0 / 24).adding(p, times: r)
    p = DoubleLanes(1.0 / 6).adding(p, times: r)
    p = DoubleLanes(0.5).adding(p, times: r)
    p = DoubleLanes(1).adding(p, times: r)
    p = DoubleLanes(1).adding(p, times: r)
    let bits = unsafeBitCast(shifted.raw, to: SIMD8<UInt64>.self)
    return p * DoubleLanes(raw: unsafeBitCast((bits &+ 1023) &<< 52, to: SIMD8<Double>.self))
  }
  // The C library's: it takes one number at a time.
  @inline(__always) func logarithm() -> DoubleLanes {
    var result = DoubleLanes.zero
    for lane in 0..<DoubleLanes.count { result.raw[lane] = raw[lane].logarithm }
    return result
  }
}
