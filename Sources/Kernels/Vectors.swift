// Float and Double as kernels see them: a scalar, and lanes of it that fill one 512-bit register.
//
// The operators stand in a protocol of our own, with one concrete body for each width: generic code
// over the standard library's `SIMD` falls back to loops over single lanes where a specialisation is
// missed. No `rounded`, `squareRoot`, `pointwiseMin` or vector conversion here: all are scalar calls.

import CBLAS
import Glibc

/// The scalar of a run, with the lanes that hold several of it.
protocol KernelScalar: BinaryFloatingPoint {
  associatedtype Lanes: TurningLanes where Lanes.Scalar == Self
  static var precision: Precision { get }
  var asDouble: Double { get }
  /// √self, one instruction or the C library's, rounded right.
  var root: Self { get }
  /// ln self, with the bits that lanes give it.
  var logarithm: Self { get }
}

/// Lanes of one scalar. Each operation is elementwise unless said; sums over lanes have fixed order.
protocol LaneVector {
  associatedtype Scalar: KernelScalar
  static var count: Int { get }
  init(_ value: Scalar)
  /// `Lanes.count` consecutive scalars at any address.
  init(_ source: UnsafePointer<Scalar>)
  /// The first `count` lanes from memory, the others `padding`; reads nothing beyond.
  init(_ source: UnsafePointer<Scalar>, first count: Int, padding: Scalar)
  func store(to target: UnsafeMutablePointer<Scalar>)
  /// Stores the first `count` lanes, touches nothing beyond.
  func store(to target: UnsafeMutablePointer<Scalar>, first count: Int)
  static func + (a: Self, b: Self) -> Self
  static func - (a: Self, b: Self) -> Self
  static func * (a: Self, b: Self) -> Self
  static func / (a: Self, b: Self) -> Self
  static prefix func - (a: Self) -> Self
  /// self + a·b, rounded once.
  func adding(_ a: Self, times b: Self) -> Self
  func squareRoot() -> Self
  /// eˣ within 2 units in the last place; 0 where it would be below twice the smallest normal number,
  /// ∞ above the largest, NaN for NaN.
  func exponential() -> Self
  /// The larger of both; self where `other` is NaN.
  func larger(_ other: Self) -> Self
  /// The smaller of both; self where `other` is NaN.
  func smaller(_ other: Self) -> Self
  /// self where `a` > `b`, else `other`.
  func kept(where a: Self, exceeds b: Self, else other: Self) -> Self
  /// The sum over lanes, always in the same order: halves are added until one lane is left.
  func sum() -> Scalar
  func largest() -> Scalar
  /// The lanes in Double, those beyond the eighth added to the first.
  func sumInDoubles() -> DoubleLanes
  /// Likewise of the squares, which are formed in Double.
  func squaresInDoubles() -> DoubleLanes
}

extension KernelScalar {
  @inline(__always) static var laneCount: Int { Lanes.count }
}

extension LaneVector {
  @inline(__always) static var zero: Self { Self(Scalar.zero) }

  @inline(__always) init(_ source: UnsafeMutablePointer<Scalar>) {
    self.init(UnsafePointer(source))
  }

  @inline(__always)
  init(_ source: UnsafeMutablePointer<Scalar>, first count: Int, padding: Scalar = 0) {
    self.init(UnsafePointer(source), first: count, padding: padding)
  }
}

extension Float: KernelScalar {
  typealias Lanes = FloatLanes
  @inline(__always) static var precision: Precision { .float32 }
  @inline(__always) var asDouble: Double { Double(self) }
  @inline(__always) var root: Float { sqrtf(self) }
  @inline(__always) var logarithm: Float { FloatLanes(self).logarithm().raw[0] }
}

extension Double: KernelScalar {
  typealias Lanes = DoubleLanes
  @inline(__always) static var precision: Precision { .float64 }
  @inline(__always) var asDouble: Double { self }
  @inline(__always) var root: Double { sqrt(self) }
  @inline(__always) var logarithm: Double { log(self) }
}

/// Sixteen floats.
struct FloatLanes: LaneVector {
  typealias Scalar = Float
  typealias Raw = SIMD16<Float>
  var raw: Raw
  @inline(__always) static var count: Int { 16 }

  @inline(__always) init(raw: Raw) { self.raw = raw }
  @inline(__always) init(_ value: Float) { raw = Raw(repeating: value) }
  @inline(__always) init(_ source: UnsafePointer<Float>) {
    raw = UnsafeRawPointer(source).loadUnaligned(as: Raw.self)
  }
  @inline(__always) init(_ source: UnsafePointer<Float>, first count: Int, padding: Float) {
    raw = lane_first_float(source, Int32(truncatingIfNeeded: count), padding)
  }
  @inline(__always) func store(to target: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(target).storeBytes(of: raw, as: Raw.self)
  }
  @inline(__always) func store(to target: UnsafeMutablePointer<Float>, first count: Int) {
    lane_store_first_float(target, Int32(truncatingIfNeeded: count), raw)
  }

  @inline(__always) static func + (a: Self, b: Self) -> Self { Self(raw: a.raw + b.raw) }
  @inline(__always) static func - (a: Self, b: Self) -> Self { Self(raw: a.raw - b.raw) }
  @inline(__always) static func * (a: Self, b: Self) -> Self { Self(raw: a.raw * b.raw) }
  @inline(__always) static func / (a: Self, b: Self) -> Self { Self(raw: a.raw / b.raw) }
  @inline(__always) static prefix func - (a: Self) -> Self { Self(raw: -a.raw) }
  @inline(__always) func adding(_ a: Self, times b: Self) -> Self {
    Self(raw: raw.addingProduct(a.raw, b.raw))
  }
  @inline(__always) func squareRoot() -> Self { Self(raw: lane_sqrt_float(raw)) }
  @inline(__always) func larger(_ other: Self) -> Self {
    Self(raw: raw.replacing(with: other.raw, where: other.raw .> raw))
  }
  @inline(__always) func smaller(_ other: Self) -> Self {
    Self(raw: raw.replacing(with: other.raw, where: other.raw .< raw))
  }
  @inline(__always) func kept(where a: Self, exceeds b: Self, else other: Self) -> Self {
    Self(raw: other.raw.replacing(with: raw, where: a.raw .> b.raw))
  }
  @inline(__always) func sum() -> Float {
    let sixteen = unsafeBitCast(raw, to: (SIMD8<Float>, SIMD8<Float>).self)
    let eight = unsafeBitCast(sixteen.0 + sixteen.1, to: (SIMD4<Float>, SIMD4<Float>).self)
    let four = unsafeBitCast(eight.0 + eight.1, to: (SIMD2<Float>, SIMD2<Float>).self)
    let two = four.0 + four.1
    return two.x + two.y
  }
  @inline(__always) func largest() -> Float {
    let (a, b) = unsafeBitCast(raw, to: (SIMD8<Float>, SIMD8<Float>).self)
    let eight = a.replacing(with: b, where: b .> a)
    let (c, d) = unsafeBitCast(eight, to: (SIMD4<Float>, SIMD4<Float>).self)
    let four = c.replacing(with: d, where: d .> c)
    let (e, f) = unsafeBitCast(four, to: (SIMD2<Float>, SIMD2<Float>).self)
    let two = e.replacing(with: f, where: f .> e)
    return two.y > two.x ? two.y : two.x
  }

  @inline(__always) func sumInDoubles() -> DoubleLanes {
    let (low, high) = doubles
    return low + high
  }
  @inline(__always) func squaresInDoubles() -> DoubleLanes {
    let (low, high) = doubles
    return (low * low).adding(high, times: high)
  }

  /// The first eight and the last eight lanes. Written out: the vector conversion is no instruction
  /// unless the optimiser finds it here.
  @inline(__always) var doubles: (DoubleLanes, DoubleLanes) {
    let (low, high) = unsafeBitCast(raw, to: (SIMD8<Float>, SIMD8<Float>).self)
    return (Self.doubles(low), Self.doubles(high))
  }
  @inline(__always) private static func doubles(_ x: SIMD8<Float>) -> DoubleLanes {
    DoubleLanes(
      raw: SIMD8(
        Double(x[0]), Double(x[1]), Double(x[2]), Double(x[3]), Double(x[4]), Double(x[5]),
        Double(x[6]), Double(x[7])))
  }
}

/// Eight doubles.
struct DoubleLanes: LaneVector {
  typealias Scalar = Double
  typealias Raw = SIMD8<Double>
  var raw: Raw
  @inline(__always) static var count: Int { 8 }

  @inline(__always) init(raw: Raw) { self.raw = raw }
  @inline(__always) init(_ value: Double) { raw = Raw(repeating: value) }
  @inline(__always) init(_ source: UnsafePointer<Double>) {
    raw = UnsafeRawPointer(source).loadUnaligned(as: Raw.self)
  }
  @inline(__always) init(_ source: UnsafePointer<Double>, first count: Int, padding: Double) {
    raw = lane_first_double(source, Int32(truncatingIfNeeded: count), padding)
  }
  @inline(__always) func store(to target: UnsafeMutablePointer<Double>) {
    UnsafeMutableRawPointer(target).storeBytes(of: raw, as: Raw.self)
  }
  @inline(__always) func store(to target: UnsafeMutablePointer<Double>, first count: Int) {
    lane_store_first_double(target, Int32(truncatingIfNeeded: count), raw)
  }

  @inline(__always) static func + (a: Self, b: Self) -> Self { Self(raw: a.raw + b.raw) }
  @inline(__always) static func - (a: Self, b: Self) -> Self { Self(raw: a.raw - b.raw) }
  @inline(__always) static func * (a: Self, b: Self) -> Self { Self(raw: a.raw * b.raw) }
  @inline(__always) static func / (a: Self, b: Self) -> Self { Self(raw: a.raw / b.raw) }
  @inline(__always) static prefix func - (a: Self) -> Self { Self(raw: -a.raw) }
  @inline(__always) func adding(_ a: Self, times b: Self) -> Self {
    Self(raw: raw.addingProduct(a.raw, b.raw))
  }
  @inline(__always) func squareRoot() -> Self { Self(raw: lane_sqrt_double(raw)) }
  @inline(__always) func larger(_ other: Self) -> Self {
    Self(raw: raw.replacing(with: other.raw, where: other.raw .> raw))
  }
  @inline(__always) func smaller(_ other: Self) -> Self {
    Self(raw: raw.replacing(with: other.raw, where: other.raw .< raw))
  }
  @inline(__always) func kept(where a: Self, exceeds b: Self, else other: Self) -> Self {
    Self(raw: other.raw.replacing(with: raw, where: a.raw .> b.raw))
  }
  @inline(__always) func sum() -> Double {
    let eight = unsafeBitCast(raw, to: (SIMD4<Double>, SIMD4<Double>).self)
    let four = unsafeBitCast(eight.0 + eight.1, to: (SIMD2<Double>, SIMD2<Double>).self)
    let two = four.0 + four.1
    return two.x + two.y
  }
  @inline(__always) func largest() -> Double {
    let (a, b) = unsafeBitCast(raw, to: (SIMD4<Double>, SIMD4<Double>).self)
    let four = a.replacing(with: b, where: b .> a)
    let (c, d) = unsafeBitCast(four, to: (SIMD2<Double>, SIMD2<Double>).self)
    let two = c.replacing(with: d, where: d .> c)
    return two.y > two.x ? two.y : two.x
  }

  @inline(__always) func sumInDoubles() -> DoubleLanes { self }
  @inline(__always) func squaresInDoubles() -> DoubleLanes { self * self }
}
