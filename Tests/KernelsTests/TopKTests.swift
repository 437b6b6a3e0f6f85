// The choice of columns against a full sort.

import Kernels
import Testing

@Test(arguments: Shape.all, [1, 2, 3, 8])
func `the k best columns are the first of a stable descending sort`(_ shape: Shape, _ k: Int) {
  guard k <= shape.columns else { return }
  let random = Sample(random: 1, shape)
  // Rounded to tenths: many are equal.
  let scores = Sample(shape.rows, shape.columns, gap: shape.gap, shape.precision) {
    (random[$0, $1] * 4).rounded() / 4
  }
  let bias = Sample(random: 2, shape, rows: 1)
  for biased in [false, true] {
    var found: [Int32] = []
    topK(scores.matrix, bias: biased ? bias.matrix : nil, k: k, into: &found)
    var truth: [Int32] = []
    for row in 0..<shape.rows {
      func score(_ column: Int) -> Double {
        scores[row, column] + (biased ? bias[0, column] : 0)
      }
      let order = (0..<shape.columns).sorted {
        score($0) == score($1) ? $0 < $1 : score($0) > score($1)
      }
      truth += order.prefix(k).map { Int32($0) }
    }
    #expect(found == truth)
  }
}

@Test(arguments: [2, 3])
func `rows with NaN or −∞ still get k different columns`(_ k: Int) {
  let scores = Sample(7, 5, .float32) { row, column in
    switch row {
    case 3: .nan
    case 4: column == 0 ? 5 : .nan
    case 5: -.infinity
    case 6: column == 1 ? 5 : -.infinity
    default: (row + column) % 2 == 0 ? .nan : Double(column)
    }
  }
  var found: [Int32] = []
  topK(scores.matrix, bias: nil, k: k, into: &found)
  #expect(scores[0, 0].isNaN)
  for row in 0..<7 {
    let chosen = found[k * row..<k * (row + 1)]
    #expect(Set(chosen).count == k && chosen.allSatisfy { (0..<5).contains($0) })
  }
}
