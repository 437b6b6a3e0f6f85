// The k best columns of each row: a router's choice. Selection only, no gradient.

/// For each row the columns of its k largest score + bias, in descending order; equal ones in the
/// order of their columns. `bias` is [1, columns]; `indices` gets rows · k entries.
public func topK(_ scores: Matrix, bias: Matrix?, k: Int, into indices: inout [Int32]) {
  require(k >= 0 && k <= scores.columns, "the best \(k) of \(scores.columns) columns")
  if let bias { requireRow(bias, for: scores) }
  if indices.count != scores.rows * k {
    indices = [Int32](repeating: 0, count: scores.rows * k)
  }
  guard k > 0 else { return }
  indices.withUnsafeMutableBufferPointer { indices in
    guard let base = indices.baseAddress else { return }
    switch scores.precision {
    case .float32: select(Float.self, scores, bias, k, base)
    case .float64: select(Double.self, scores, bias, k, base)
    }
  }
}

/// Keeps the best so far sorted; most columns lose against the last of them at once. Scores and
/// biases are added in Double, so that a small bias still tells equal floats apart.
@inline(__always)
private func select<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ scores: Matrix, _ bias: Matrix?, _ k: Int,
  _ indices: UnsafeMutablePointer<Int32>
) {
  let biases = bias?.pointer(type)
  withUnsafeTemporaryAllocation(of: Double.self, capacity: k) { best in
    let best = best.baseAddress!
    for row in 0..<scores.rows {
      let source = scores.row(type, row)
      let chosen = indices + row * k
      for column in 0..<scores.columns {
        let score = source[column].asDouble + (biases?[column].asDouble ?? 0)
        var place = min(column, k)
        if place == k {
          guard score > best[k - 1] else { continue }
          place = k - 1
        }
        while place > 0 && score > best[place - 1] {
          best[place] = best[place - 1]
          chosen[place] = chosen[place - 1]
          place -= 1
        }
        best[place] = score
        chosen[place] = Int32(column)
      }
    }
  }
}
