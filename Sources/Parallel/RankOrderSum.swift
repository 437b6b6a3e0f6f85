// The one addition behind all sums over ranks: in rank order, so bits depend on nothing else.

import Kernels

/// Element types that are summed over ranks.
protocol RankSummable: SIMDScalar, Hashable, Codable {
  associatedtype Lanes: SIMD where Lanes.Scalar == Self
  static func sum(_ a: Self, _ b: Self) -> Self
  static func sum(_ a: Lanes, _ b: Lanes) -> Lanes
}

extension Float: RankSummable {
  typealias Lanes = SIMD16<Float>
  static func sum(_ a: Float, _ b: Float) -> Float { a + b }
  static func sum(_ a: Lanes, _ b: Lanes) -> Lanes { a + b }
}

extension Double: RankSummable {
  typealias Lanes = SIMD8<Double>
  static func sum(_ a: Double, _ b: Double) -> Double { a + b }
  static func sum(_ a: Lanes, _ b: Lanes) -> Lanes { a + b }
}

/// target[i] = ((source₀[i] + source₁[i]) + source₂[i]) + …; `target` may be one of the sources.
func sumInRankOrder<Scalar: RankSummable>(
  _ sources: [UnsafePointer<Scalar>], count: Int, into target: UnsafeMutablePointer<Scalar>,
  team: ThreadTeam?
) {
  let piece = 1 << 16
  let pieces = (count + piece - 1) / piece
  guard let team, pieces > 1 else {
    sumInRankOrder(sources, 0..<count, into: target)
    return
  }
  team.run(pieces) { task, _ in
    sumInRankOrder(sources, task * piece..<min((task + 1) * piece, count), into: target)
  }
}

private func sumInRankOrder<Scalar: RankSummable>(
  _ sources: [UnsafePointer<Scalar>], _ range: Range<Int>, into target: UnsafeMutablePointer<Scalar>
) {
  let width = Scalar.Lanes.scalarCount
  sources.withUnsafeBufferPointer { sources in
    var index = range.lowerBound
    while index + width <= range.upperBound {
      var total = UnsafeRawPointer(sources[0] + index).loadUnaligned(as: Scalar.Lanes.self)
      for rank in 1..<sources.count {
        total = Scalar.sum(
          total, UnsafeRawPointer(sources[rank] + index).loadUnaligned(as: Scalar.Lanes.self))
      }
      UnsafeMutableRawPointer(target + index).storeBytes(of: total, as: Scalar.Lanes.self)
      index += width
    }
    while index < range.upperBound {
      var total = sources[0][index]
      for rank in 1..<sources.count { total = Scalar.sum(total, sources[rank][index]) }
      target[index] = total
      index += 1
    }
  }
}
