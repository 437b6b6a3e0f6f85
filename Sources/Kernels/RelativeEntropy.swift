// Relative entropy (Kullback–Leibler divergence) of rows of logits, without storing probabilities.

/// Rows of finite logits with ln Σ exp over all their columns, [T, 1]. The rows may be a slice of the
/// columns, which another rank holds the rest of; the sum is then over all of them.
public struct Categorical {
  public let logits: Matrix
  public let logSumExp: Matrix

  public init(logits: Matrix, logSumExp: Matrix) {
    requireColumn(logSumExp, for: logits)
    self.logits = logits
    self.logSumExp = logSumExp
  }
}

/// Σ_v p_v (ln p_v − ln q_v) over the columns given, [T, 1]; without `q` Σ_v p_v ln p_v, which is
/// minus the entropy. Slices of the columns add up to the whole.
public func relativeEntropy(
  of p: Categorical, to q: Categorical?, into divergence: Matrix, team: ThreadTeam
) {
  requireColumn(divergence, for: p.logits)
  if let q { requireAlike(p.logits, q.logits) }
  switch p.logits.precision {
  case .float32: forward(Float.self, p, q, divergence, team)
  case .float64: forward(Double.self, p, q, divergence, team)
  }
}

/// dlogits_v = g · p_v (ln p_v − ln q_v − D), with D the divergence over all columns.
/// `dLogits` may be p's logits.
public func relativeEntropyGradient(
  _ g: Matrix, of p: Categorical, to q: Categorical?, divergence: Matrix, into dLogits: Matrix,
  team: ThreadTeam
) {
  requireColumn(g, for: p.logits)
  requireColumn(divergence, for: p.logits)
  requireAlike(p.logits, dLogits)
  if let q { requireAlike(p.logits, q.logits) }
  switch p.logits.precision {
  case .float32: backward(Float.self, g, p, q, divergence, dLogits, team)
  case .float64: backward(Double.self, g, p, q, divergence, dLogits, team)
  }
}

@inline(__always)
private func forward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ p: Categorical, _ q: Categorical?, _ divergence: Matrix,
  _ team: ThreadTeam
) {
  let columns = p.logits.columns
  // Beyond a row's end: far below all logits, so that the probability is 0, yet finite.
  let padding = -Scalar.greatestFiniteMagnitude / 4
  team.forRows(p.logits.rows, width: columns) { rows in
    for row in rows {
      let x = p.logits.row(type, row)
      let shift = Scalar.Lanes(p.logSumExp.pointer(type)[row])
      var total = Scalar.Lanes.zero
      if let q {
        let y = q.logits.row(type, row)
        let otherShift = Scalar.Lanes(q.logSumExp.pointer(type)[row])
        forLanes(type, columns) { i, n in
          let logP = x.lanes(i, n, padding: padding) - shift
          total = total.adding(logP.exponential(), times: logP - (y.lanes(i, n) - otherShift))
        }
      } else {
        forLanes(type, columns) { i, n in
          let logP = x.lanes(i, n, padding: padding) - shift
          total = total.adding(logP.exponential(), times: logP)
        }
      }
      divergence.pointer(type)[row] = total.sum()
    }
  }
}

@inline(__always)
private func backward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ g: Matrix, _ p: Categorical, _ q: Categorical?, _ divergence: Matrix,
  _ dLogits: Matrix, _ team: ThreadTeam
) {
  let columns = p.logits.columns
  team.forRows(p.logits.rows, width: columns) { rows in
    for row in rows {
      let x = p.logits.row(type, row)
      let target = dLogits.row(type, row)
      let shift = Scalar.Lanes(p.logSumExp.pointer(type)[row])
      let upstream = Scalar.Lanes(g.pointer(type)[row])
      let total = Scalar.Lanes(divergence.pointer(type)[row])
      if let q {
        let y = q.logits.row(type, row)
        let otherShift = Scalar.Lanes(q.logSumExp.pointer(type)[row])
        forLanes(type, columns) { i, n in
          let logP = x.lanes(i, n) - shift
          let excess = logP - (y.lanes(i, n) - otherShift) - total
          target.set(i, n, upstream * logP.exponential() * excess)
        }
      } else {
        forLanes(type, columns) { i, n in
          let logP = x.lanes(i, n) - shift
          target.set(i, n, upstream * logP.exponential() * (logP - total))
        }
      }
    }
  }
}
