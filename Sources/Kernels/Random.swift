// Random numbers that depend on a key and a counter alone (Philox 4×32-10, Salmon et al. 2011).
//
// Nothing has a state, so any slice of an array, any sample of a run can be drawn by itself.

import Glibc

/// Names one stream of random numbers.
public struct RandomKey: Sendable, Hashable {
  let bits: UInt64

  /// The stream of `name` in a run with this seed.
  public init(seed: UInt64, name: String) {
    // FNV-1a of the name, then one block of Philox under the seed.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    bits = philox(counter: hash, purpose: .name, key: seed).low
  }

  private init(bits: UInt64) { self.bits = bits }

  /// The n-th of streams that belong to this one: a step's, a sample's.
  public func derived(_ n: UInt64) -> RandomKey {
    RandomKey(bits: philox(counter: n, purpose: .derivation, key: bits).low)
  }
}

/// A number in [0, 1), a multiple of 2⁻⁵³.
public func uniform(_ key: RandomKey, counter: UInt64) -> Double {
  Double(philox(counter: counter, purpose: .uniform, key: key.bits).low >> 11) * 0x1p-53
}

/// An integer in 0 ..< bound, each equally likely up to bound / 2⁶⁴.
public func uniformInteger(_ key: RandomKey, counter: UInt64, below bound: Int) -> Int {
  require(bound > 0, "an integer below \(bound)")
  let bits = philox(counter: counter, purpose: .integer, key: key.bits).low
  return Int(UInt64(bound).multipliedFullWidth(by: bits).high)
}

/// 0 ..< count in random order (Fisher-Yates).
public func shuffled(count: Int, key: RandomKey) -> [Int32] {
  var order = (0..<Int32(count)).map { $0 }
  for last in stride(from: count - 1, to: 0, by: -1) {
    order.swapAt(last, uniformInteger(key, counter: UInt64(last), below: last + 1))
  }
  return order
}

/// Normally distributed numbers; the one in row r and column c depends on the key and on
/// firstElement + r · rowStride + c alone, is drawn in Double and rounded to the precision.
public func fillNormal(
  _ a: Matrix, key: RandomKey, firstElement: Int, rowStride: Int, standardDeviation: Double,
  team: ThreadTeam
) {
  require(firstElement >= 0 && rowStride >= 0, "first \(firstElement), row stride \(rowStride)")
  switch a.precision {
  case .float32: fillRows(Float.self, a, key, firstElement, rowStride, standardDeviation, team)
  case .float64: fillRows(Double.self, a, key, firstElement, rowStride, standardDeviation, team)
  }
}

/// What a block is drawn for: blocks for different purposes never coincide.
private enum Purpose: UInt64 {
  case name, derivation, uniform, integer, normal
}

@inline(__always)
private func fillRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ a: Matrix, _ key: RandomKey, _ firstElement: Int, _ rowStride: Int,
  _ deviation: Double, _ team: ThreadTeam
) {
  team.forRows(a.rows, width: a.columns) { rows in
    for row in rows {
      let target = a.row(type, row)
      let first = firstElement + row * rowStride
      var column = 0
      while column < a.columns {
        // Elements 2b and 2b + 1 share block b (Box & Muller 1958).
        let element = first + column
        let block = philox(counter: UInt64(element / 2), purpose: .normal, key: key.bits)
        let radius = deviation * sqrt(-2 * log((Double(block.low >> 11) + 0.5) * 0x1p-53))
        let angle = 2 * Double.pi * Double(block.high >> 11) * 0x1p-53
        if element % 2 == 0 {
          target[column] = Scalar(radius * cos(angle))
          column += 1
        }
        if column < a.columns {
          target[column] = Scalar(radius * sin(angle))
          column += 1
        }
      }
    }
  }
}

@inline(__always)
private func philox(counter: UInt64, purpose: Purpose, key: UInt64) -> (low: UInt64, high: UInt64) {
  let block = philox4x32(
    counter: (
      UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32),
      UInt32(truncatingIfNeeded: purpose.rawValue), 0
    ),
    key: (UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)))
  return (
    UInt64(block.0) | UInt64(block.1) << 32, UInt64(block.2) | UInt64(block.3) << 32
  )
}

/// Ten rounds of Philox on four words.
@inline(__always)
package func philox4x32(
  counter: (UInt32, UInt32, UInt32, UInt32), key: (UInt32, UInt32)
) -> (UInt32, UInt32, UInt32, UInt32) {
  var c = counter
  var k = key
  for _ in 0..<10 {
    let p = UInt64(c.0) &* 0xD251_1F53
    let q = UInt64(c.2) &* 0xCD9E_8D57
    c = (
      UInt32(truncatingIfNeeded: q >> 32) ^ c.1 ^ k.0, UInt32(truncatingIfNeeded: q),
      UInt32(truncatingIfNeeded: p >> 32) ^ c.3 ^ k.1, UInt32(truncatingIfNeeded: p)
    )
    k = (k.0 &+ 0x9E37_79B9, k.1 &+ 0xBB67_AE85)
  }
  return c
}
