// Elementwise kernels against plain arithmetic in Double.

import Kernels
import Testing

@Test(arguments: Shape.all)
func `elementwise kernels are their formulas, in place too`(_ shape: Shape) {
  let a = Sample(random: 1, shape)
  let b = Sample(random: 2, shape)
  let found = results { team in
    let targets = (0..<8).map { _ in Sample(for: shape) }
    add(a.matrix, b.matrix, into: targets[0].matrix, team: team)
    multiply(a.matrix, b.matrix, into: targets[1].matrix, team: team)
    scale(a.matrix, by: -1.75, into: targets[2].matrix, team: team)
    copy(a.matrix, into: targets[3].matrix, team: team)
    fill(targets[4].matrix, 0.625, team: team)
    clamp(a.matrix, to: 0.5, into: targets[5].matrix, team: team)
    clampGradient(b.matrix, a.matrix, bound: 0.5, into: targets[6].matrix, team: team)
    copy(b.matrix, into: targets[7].matrix, team: team)
    accumulate(a.matrix, scale: -0.3125, into: targets[7].matrix, team: team)
    let inPlace = (0..<4).map { _ in a.copy }
    add(inPlace[0].matrix, b.matrix, into: inPlace[0].matrix, team: team)
    multiply(b.matrix, inPlace[1].matrix, into: inPlace[1].matrix, team: team)
    scale(inPlace[2].matrix, by: -1.75, into: inPlace[2].matrix, team: team)
    clampGradient(
      b.matrix, inPlace[3].matrix, bound: 0.5, into: inPlace[3].matrix, team: team)
    return targets + inPlace
  }
  let (x, y) = (a.values, b.values)
  expectClose(found[0].values, zip(x, y).map(+), tolerance: shape.tolerance)
  expectClose(found[1].values, zip(x, y).map(*), tolerance: shape.tolerance)
  expectClose(found[2].values, x.map { -1.75 * $0 }, tolerance: shape.tolerance)
  #expect(found[3].bits == a.bits)
  #expect(found[4].values.allSatisfy { $0 == 0.625 })
  #expect(found[5].values == x.map { min(max($0, -0.5), 0.5) })
  #expect(found[6].values == zip(x, y).map { abs($0) <= 0.5 ? $1 : 0 })
  expectClose(found[7].values, zip(x, y).map { $1 - 0.3125 * $0 }, tolerance: shape.tolerance)
  for (plain, inPlace) in [(0, 8), (1, 9), (2, 10), (6, 11)] {
    #expect(found[plain].bits == found[inPlace].bits)
  }
}

@Test(arguments: Precision.allCases)
func `a bound itself passes, and NaN is not hidden by a bound`(_ precision: Precision) {
  let x = Sample(1, 4, precision) { [-0.5, 0.5, .nan, 3][$1] }
  let ones = Sample(1, 4, precision) { _, _ in 1 }
  let y = Sample(1, 4, precision)
  let team = ThreadTeam(size: 1)
  clampGradient(ones.matrix, x.matrix, bound: 0.5, into: y.matrix, team: team)
  #expect(y[0, 0] == ones[0, 0] && y[0, 1] == 1 && y[0, 3] == 0)
  clamp(x.matrix, to: 0.5, into: y.matrix, team: team)
  #expect(x[0, 2].isNaN && y[0, 2].isNaN && y[0, 3] == 0.5)
}
