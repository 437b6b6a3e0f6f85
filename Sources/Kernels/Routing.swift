// The few numbers of a router: which scores were chosen, as weights. One thread: they are few.

/// y_j = scores[t, columns_j] for the choices j in starts[t] ..< starts[t + 1] of each row t, divided
/// by their sum if `renormalised`. `y` is [choices, 1].
public func selectScores(
  _ scores: Matrix, starts: [Int32], columns: [Int32], renormalised: Bool, into y: Matrix
) {
  require(starts.count == scores.rows + 1, "\(starts.count) starts for \(scores.rows) rows")
  switch scores.precision {
  case .float32: select(Float.self, scores, starts, columns, renormalised, y)
  case .float64: select(Double.self, scores, starts, columns, renormalised, y)
  }
}

/// The gradient of `selectScores` with respect to the scores: with weights w_j = s_j / S,
/// ds_j = (dy_j − Σ_i dy_i·w_i) / S if `renormalised`, else dy_j; 0 where nothing was chosen.
public func selectScoresGradient(
  _ dy: Matrix, scores: Matrix, selected: Matrix, starts: [Int32], columns: [Int32],
  renormalised: Bool, into dScores: Matrix, accumulate: Bool
) {
  switch dy.precision {
  case .float32:
    selectGradient(
      Float.self, dy, scores, selected, (starts, columns), renormalised, dScores, accumulate)
  case .float64:
    selectGradient(
      Double.self, dy, scores, selected, (starts, columns), renormalised, dScores, accumulate)
  }
}

@inline(__always)
private func select<Scalar: BinaryFloatingPoint>(
  _ type: Scalar.Type, _ scores: Matrix, _ starts: [Int32], _ columns: [Int32],
  _ renormalised: Bool, _ y: Matrix
) {
  let result = y.pointer(type)
  for row in 0..<scores.rows {
    let source = scores.pointer(type) + row * scores.stride
    let choices = Int(starts[row])..<Int(starts[row + 1])
    var total: Scalar = 0
    for choice in choices {
      result[choice] = source[Int(columns[choice])]
      total += result[choice]
    }
    if renormalised { for choice in choices { result[choice] /= total } }
  }
}

@inline(__always)
private func selectGradient<Scalar: BinaryFloatingPoint>(
  _ type: Scalar.Type, _ dy: Matrix, _ scores: Matrix, _ selected: Matrix,
  _ choices: (starts: [Int32], columns: [Int32]), _ renormalised: Bool, _ dScores: Matrix,
  _ accumulate: Bool
) {
  let upstream = dy.pointer(type)
  let weights = selected.pointer(type)
  for row in 0..<dScores.rows {
    let source = scores.pointer(type) + row * scores.stride
    let target = dScores.pointer(type) + row * dScores.stride
    if !accumulate { target.update(repeating: 0, count: dScores.columns) }
    let range = Int(choices.starts[row])..<Int(choices.starts[row + 1])
    var total: Scalar = 1
    var mean: Scalar = 0
    if renormalised {
      total = 0
      for choice in range {
        total += source[Int(choices.columns[choice])]
        mean += upstream[choice] * weights[choice]
      }
    }
    for choice in range {
      target[Int(choices.columns[choice])] += (upstream[choice] - mean) / total
    }
  }
}
