// Sums over matrices and rows against plain sums in Double.

import Kernels
import Testing

@Test(arguments: Shape.all)
func `sums are those in Double, whatever the precision and the team`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let (one, two) = (ThreadTeam(size: 1), ThreadTeam(size: 2))
  let total = sum(x.matrix, team: one)
  let squares = sumOfSquares(x.matrix, team: one)
  #expect(sum(x.matrix, team: two) == total)
  #expect(sumOfSquares(x.matrix, team: two) == squares)
  let magnitude = x.values.reduce(1e-6) { $0 + abs($1) }
  #expect(abs(total - x.values.reduce(0, +)) <= 1e-14 * magnitude)
  // The plain sum of the truth is the less exact of the two.
  expectClose([squares], [x.values.reduce(0) { $0 + $1 * $1 }], tolerance: 1e-12)
}

@Test(arguments: Shape.all)
func `sums of rows are a bias's gradient`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  let before = Sample(random: 2, shape, rows: 1)
  let found = results { team in
    let fresh = Sample(for: shape, rows: 1)
    let added = before.copy
    sumRows(x.matrix, into: fresh.matrix, accumulate: false, team: team)
    sumRows(x.matrix, into: added.matrix, accumulate: true, team: team)
    return [fresh, added]
  }
  let truth = (0..<shape.columns).map { column in
    (0..<shape.rows).reduce(0) { $0 + x[$1, column] }
  }
  expectClose(found[0].values, truth, tolerance: 4 * shape.tolerance)
  expectClose(found[1].values, zip(truth, before.values).map(+), tolerance: 4 * shape.tolerance)
}

@Test(arguments: Shape.all)
func `the first number that is not finite is found where it stands`(_ shape: Shape) {
  let x = Sample(random: 1, shape)
  for team in [ThreadTeam(size: 1), ThreadTeam(size: 2)] {
    #expect(firstNonFinite(x.matrix, team: team) == nil)
    for bad in [Double.nan, .infinity, -.infinity] {
      for index in [0, x.values.count / 3, x.values.count - 1] where index >= 0 && shape.rows > 0 {
        let last = x.copy
        last[index / shape.columns, index % shape.columns] = bad
        last[shape.rows - 1, shape.columns - 1] = bad
        #expect(firstNonFinite(last.matrix, team: team) == index)
      }
    }
  }
}

@Test(arguments: Precision.allCases)
func `the largest finite numbers count as finite`(_ precision: Precision) {
  let largest =
    precision == .float32 ? Double(Float.greatestFiniteMagnitude) : .greatestFiniteMagnitude
  let x = Sample(3, 100, precision) { $0 == $1 ? -largest : largest }
  #expect(firstNonFinite(x.matrix, team: ThreadTeam(size: 1)) == nil)
  #expect(x[0, 0] == -largest)
}
