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
  if k == 2 { return selectTwo(type, scores, biases, indices) }
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

/// The two best without a branch on scores, which would be foreseen half of the time.
@inline(__always)
private func selectTwo<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ scores: Matrix, _ biases: Pointer<Scalar>?,
  _ indices: UnsafeMutablePointer<Int32>
) {
  for row in 0..<scores.rows {
    let source = scores.row(type, row)
    func score(_ column: Int) -> Double {
      source[column].asDouble + (biases?[column].asDouble ?? 0)
    }
    var (first, second) = (score(0), score(1))
    let isTurned = second > first
    (first, second) = isTurned ? (second, first) : (first, second)
    var (firstColumn, secondColumn) = isTurned ? (Int32(1), Int32(0)) : (0, 1)
    for column in 2..<scores.columns {
      let score = score(column)
      let leads = score > first
      let follows = score > second
      second = leads ? first : follows ? score : second
      secondColumn = leads ? firstColumn : follows ? Int32(column) : secondColumn
      first = leads ? score : first
      firstColumn = leads ? Int32(column) : firstColumn
    }
    (indices[2 * row], indices[2 * row + 1]) = (firstColumn, secondColumn)
  }
}
