// Rotary position embedding (Su et al. 2021), with pairs (i, i + half) of each head.

import Glibc

/// cos and sin of position · base^(−2i / headWidth), computed in Double, rounded to the precision.
///
/// Grows by itself when a rotation asks for a later position. Belongs to one rank's thread.
public final class RotaryTable {
  public let headWidth: Int
  public let base: Double
  public let precision: Precision
  /// How many positions are tabulated now.
  public private(set) var positions = 0
  private var cosines: UnsafeMutableRawPointer
  private var sines: UnsafeMutableRawPointer

  public init(headWidth: Int, positions: Int, base: Double, precision: Precision) {
    require(headWidth > 0 && headWidth % 2 == 0, "head width \(headWidth), which must be even")
    self.headWidth = headWidth
    self.base = base
    self.precision = precision
    cosines = .allocate(byteCount: 0, alignment: 64)
    sines = .allocate(byteCount: 0, alignment: 64)
    grow(to: positions)
  }

  deinit {
    cosines.deallocate()
    sines.deallocate()
  }

  /// Tabulates at least `count` positions.
  public func grow(to count: Int) {
    guard count > positions else { return }
    positions = count
    let bytes = count * (headWidth / 2) * precision.bytes
    cosines.deallocate()
    sines.deallocate()
    cosines = .allocate(byteCount: bytes, alignment: 64)
    sines = .allocate(byteCount: bytes, alignment: 64)
    switch precision {
    case .float32: tabulate(Float.self)
    case .float64: tabulate(Double.self)
    }
  }

  /// [positions, headWidth / 2].
  func cosines<Scalar>(_ type: Scalar.Type) -> UnsafeMutablePointer<Scalar> {
    cosines.assumingMemoryBound(to: type)
  }

  /// [positions, headWidth / 2].
  func sines<Scalar>(_ type: Scalar.Type) -> UnsafeMutablePointer<Scalar> {
    sines.assumingMemoryBound(to: type)
  }

  private func tabulate<Scalar: KernelScalar>(_ type: Scalar.Type) {
    let half = headWidth / 2
    let c = cosines(type)
    let s = sines(type)
    for i in 0..<half {
      let frequency = pow(base, -2 * Double(i) / Double(headWidth))
      for position in 0..<positions {
        let angle = Double(position) * frequency
        c[position * half + i] = Scalar(cos(angle))
        s[position * half + i] = Scalar(sin(angle))
      }
    }
  }
}

/// Rotates each head of each row to its position, or back: y₁ = x₁·c − x₂·s, y₂ = x₂·c + x₁·s, with
/// −s if `inverse`. x is [T, heads · headWidth], `positions` has T entries; `y` may be `x`.
public func rotate(
  _ x: Matrix, headWidth: Int, positions: [Int32], table: RotaryTable, inverse: Bool,
  into y: Matrix, team: ThreadTeam
) {
  requireAlike(x, y)
  require(
    table.headWidth == headWidth && table.precision == x.precision && x.columns % headWidth == 0,
    "a table for heads of \(table.headWidth) \(table.precision) for heads of \(headWidth) in "
      + "\(x.columns) columns of \(x.precision)")
  require(positions.count == x.rows, "\(positions.count) positions for \(x.rows) rows")
  var last: Int32 = -1
  for position in positions {
    require(position >= 0, "position \(position)")
    last = max(last, position)
  }
  if last >= table.positions { table.grow(to: max(Int(last) + 1, 2 * table.positions)) }
  switch x.precision {
  case .float32: rotateRows(Float.self, x, headWidth, positions, table, inverse, y, team)
  case .float64: rotateRows(Double.self, x, headWidth, positions, table, inverse, y, team)
  }
}

@inline(__always)
private func rotateRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ headWidth: Int, _ positions: [Int32], _ table: RotaryTable,
  _ inverse: Bool, _ y: Matrix, _ team: ThreadTeam
) where Scalar.Lanes: HalfLanes {
  typealias Lanes = Scalar.Lanes
  let half = headWidth / 2
  let cosines = table.cosines(type)
  let sines = table.sines(type)
  let sign = Scalar.Lanes(inverse ? -1 : 1)
  positions.withUnsafeBufferPointer { positions in
    team.forRows(x.rows, width: x.columns) { rows in
      for row in rows {
        let c = cosines + Int(positions[row]) * half
        let s = sines + Int(positions[row]) * half
        var first = x.row(type, row)
        var target = y.row(type, row)
        if headWidth == Scalar.laneCount {
          // A head is one register.
          let c = Lanes(twice: c)
          let s = Lanes(twice: s).lowHalfNegated() * sign
          for _ in 0..<x.columns / headWidth {
            let head = Lanes(first)
            (head * c).adding(head.halvesSwapped(), times: s).store(to: target)
            first += headWidth
            target += headWidth
          }
          continue
        }
        for _ in 0..<x.columns / headWidth {
          let second = first + half
          let secondTarget = target + half
          forLanes(type, half) { i, n in
            let x1 = first.lanes(i, n)
            let x2 = second.lanes(i, n)
            let c = c.lanes(i, n)
            let s = s.lanes(i, n) * sign
            target.set(i, n, (x1 * c).adding(-x2, times: s))
            secondTarget.set(i, n, (x2 * c).adding(x1, times: s))
          }
          first += headWidth
          target += headWidth
        }
      }
    }
  }
}

/// Lanes as two halves.
protocol HalfLanes: LaneVector {
  /// Half as many scalars as there are lanes, in both halves.
  init(twice source: UnsafePointer<Scalar>)
  func halvesSwapped() -> Self
  func lowHalfNegated() -> Self
}

extension HalfLanes {
  @inline(__always) init(twice source: UnsafeMutablePointer<Scalar>) {
    self.init(twice: UnsafePointer(source))
  }
}

extension FloatLanes: HalfLanes {
  @inline(__always) init(twice source: UnsafePointer<Float>) {
    let half = UnsafeRawPointer(source).loadUnaligned(as: SIMD8<Float>.self)
    raw = Raw(lowHalf: half, highHalf: half)
  }
  @inline(__always) func halvesSwapped() -> FloatLanes {
    FloatLanes(raw: Raw(lowHalf: raw.highHalf, highHalf: raw.lowHalf))
  }
  @inline(__always) func lowHalfNegated() -> FloatLanes {
    FloatLanes(raw: Raw(lowHalf: -raw.lowHalf, highHalf: raw.highHalf))
  }
}

extension DoubleLanes: HalfLanes {
  @inline(__always) init(twice source: UnsafePointer<Double>) {
    let half = UnsafeRawPointer(source).loadUnaligned(as: SIMD4<Double>.self)
    raw = Raw(lowHalf: half, highHalf: half)
  }
  @inline(__always) func halvesSwapped() -> DoubleLanes {
    DoubleLanes(raw: Raw(lowHalf: raw.highHalf, highHalf: raw.lowHalf))
  }
  @inline(__always) func lowHalfNegated() -> DoubleLanes {
    DoubleLanes(raw: Raw(lowHalf: -raw.lowHalf, highHalf: raw.highHalf))
  }
}
