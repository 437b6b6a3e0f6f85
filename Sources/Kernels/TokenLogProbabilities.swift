// The log-probability of each row's label under softmax, without storing the probabilities.

/// The label of a row that has none.
private let noLabel: Int32 = -100

/// For a slice of the columns, which begins at `firstColumn`: the logit of each row's label, 0 where
/// it is −100 or in another slice, and the row's log-sum-exp over the slice; both [T, 1].
public func labelLogits(
  _ logits: Matrix, labels: [Int32], firstColumn: Int, into labelLogits: Matrix, logSumExp: Matrix,
  team: ThreadTeam
) {
  require(labels.count == logits.rows, "\(labels.count) labels for \(logits.rows) rows")
  requireColumn(labelLogits, for: logits)
  requireColumn(logSumExp, for: logits)
  switch logits.precision {
  case .float32: select(Float.self, logits, labels, firstColumn, labelLogits, logSumExp, team)
  case .float64: select(Double.self, logits, labels, firstColumn, labelLogits, logSumExp, team)
  }
}

/// logits[t, label] − logSumExp(logits[t]) for each row, 0 where the label is −100.
///
/// `logProbabilities` and `logSumExp` are [T, 1]; the latter is computed for every row.
public func tokenLogProbabilities(
  _ logits: Matrix, labels: [Int32], into logProbabilities: Matrix, logSumExp: Matrix,
  team: ThreadTeam
) {
  requireLabels(labels, of: logits)
  requireColumn(logProbabilities, for: logits)
  requireColumn(logSumExp, for: logits)
  switch logits.precision {
  case .float32: forward(Float.self, logits, labels, logProbabilities, logSumExp, team)
  case .float64: forward(Double.self, logits, labels, logProbabilities, logSumExp, team)
  }
}

/// d = g_t · (onehot − exp(logits[t] − logSumExp[t])), zeros where the label is −100. `logits` may be
/// the slice of the columns from `firstColumn` on, `logSumExp` is over all. `dLogits` may be `logits`.
public func tokenLogProbabilitiesGradient(
  _ g: Matrix, logits: Matrix, labels: [Int32], firstColumn: Int = 0, logSumExp: Matrix,
  into dLogits: Matrix, team: ThreadTeam
) {
  require(labels.count == logits.rows, "\(labels.count) labels for \(logits.rows) rows")
  requireAlike(logits, dLogits)
  requireColumn(g, for: logits)
  requireColumn(logSumExp, for: logits)
  switch logits.precision {
  case .float32:
    backward(Float.self, g, logits, labels, firstColumn, logSumExp, dLogits, team)
  case .float64:
    backward(Double.self, g, logits, labels, firstColumn, logSumExp, dLogits, team)
  }
}

private func requireLabels(_ labels: [Int32], of logits: Matrix) {
  require(labels.count == logits.rows, "\(labels.count) labels for \(logits.rows) rows")
  for (row, label) in labels.enumerated() where label != noLabel {
    require(
      label >= 0 && Int(label) < logits.columns,
      "label \(label) in row \(row) of logits with \(logits.columns) columns")
  }
}

@inline(__always)
private func forward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ logits: Matrix, _ labels: [Int32], _ logProbabilities: Matrix,
  _ logSumExps: Matrix, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  let columns = logits.columns
  labels.withUnsafeBufferPointer { labels in
    let totals = logSumExps.pointer(type)
    team.forRows(logits.rows, width: columns) { rows in
      logSumExpRows(logits, rows, into: totals)
      for row in rows {
        let source = logits.row(type, row)
        let total = totals[row]
        logProbabilities.pointer(type)[row] =
          labels[row] == noLabel ? 0 : source[Int(labels[row])] - total
      }
    }
  }
}

@inline(__always)
private func select<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ logits: Matrix, _ labels: [Int32], _ firstColumn: Int,
  _ labelLogits: Matrix, _ logSumExps: Matrix, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  let columns = logits.columns
  labels.withUnsafeBufferPointer { labels in
    team.forRows(logits.rows, width: columns) { rows in
      logSumExpRows(logits, rows, into: logSumExps.pointer(type))
      for row in rows {
        let source = logits.row(type, row)
        let label = Int(labels[row]) - firstColumn
        labelLogits.pointer(type)[row] = label >= 0 && label < columns ? source[label] : 0
      }
    }
  }
}

@inline(__always)
private func backward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ g: Matrix, _ logits: Matrix, _ labels: [Int32], _ firstColumn: Int,
  _ logSumExp: Matrix, _ dLogits: Matrix, _ team: ThreadTeam
) {
  let columns = logits.columns
  labels.withUnsafeBufferPointer { labels in
    team.forRows(logits.rows, width: columns) { rows in
      for row in rows {
        let source = logits.row(type, row)
        let target = dLogits.row(type, row)
        guard labels[row] != noLabel else {
          target.update(repeating: 0, count: columns)
          continue
        }
        let upstream = g.pointer(type)[row]
        let shift = Scalar.Lanes(logSumExp.pointer(type)[row])
        let factor = Scalar.Lanes(-upstream)
        forLanes(type, columns) { i, n in
          target.set(i, n, (source.lanes(i, n) - shift).exponential() * factor)
        }
        let label = Int(labels[row]) - firstColumn
        if label >= 0 && label < columns { target[label] += upstream }
      }
    }
  }
}
