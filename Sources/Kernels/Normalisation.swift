// RMS norm (Zhang & Sennrich 2019): y = w · x · r with r = 1/√(mean x² + ε) of each row.

/// y = w · x · r; keeps r in `inverseRMS` [rows, 1]. `weight` is [1, columns]; `y` may be `x`.
public func rmsNorm(
  _ x: Matrix, weight: Matrix, epsilon: Double, into y: Matrix, inverseRMS: Matrix,
  team: ThreadTeam
) {
  requireAlike(x, y)
  requireRow(weight, for: x)
  requireColumn(inverseRMS, for: x)
  switch x.precision {
  case .float32: normalise(Float.self, x, weight, epsilon, y, inverseRMS, team)
  case .float64: normalise(Double.self, x, weight, epsilon, y, inverseRMS, team)
  }
}

/// y = w · x · r with the saved r: the same bits as `rmsNorm` gave. `y` may be `x`.
public func rmsNormAgain(
  _ x: Matrix, weight: Matrix, inverseRMS: Matrix, into y: Matrix, team: ThreadTeam
) {
  requireAlike(x, y)
  requireRow(weight, for: x)
  requireColumn(inverseRMS, for: x)
  switch x.precision {
  case .float32: normalise(Float.self, x, weight, nil, y, inverseRMS, team)
  case .float64: normalise(Double.self, x, weight, nil, y, inverseRMS, team)
  }
}

/// dx (+)= r·h − x·r³·mean(h·x) with h = w·dy, and dw (+)= Σ_rows dy·x·r. `dx` may be `dy`.
public func rmsNormGradient(
  _ dy: Matrix, _ x: Matrix, weight: Matrix, inverseRMS: Matrix, into dx: Matrix,
  accumulate: Bool, weightGradient: Matrix?, accumulateWeight: Bool, team: ThreadTeam
) {
  requireAlike(x, dy, dx)
  requireRow(weight, for: x)
  requireColumn(inverseRMS, for: x)
  if let weightGradient { requireRow(weightGradient, for: x) }
  switch x.precision {
  case .float32:
    normaliseGradient(
      Float.self, dy, x, weight, inverseRMS, dx, accumulate, weightGradient, accumulateWeight, team)
  case .float64:
    normaliseGradient(
      Double.self, dy, x, weight, inverseRMS, dx, accumulate, weightGradient, accumulateWeight,
      team)
  }
}

/// With `epsilon` r is computed and kept, without it is read.
@inline(__always)
private func normalise<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ weight: Matrix, _ epsilon: Double?, _ y: Matrix,
  _ inverseRMS: Matrix, _ team: ThreadTeam
) {
  let columns = x.columns
  let w = weight.pointer(type)
  let saved = inverseRMS.pointer(type)
  let mean = 1 / Scalar(max(columns, 1))
  team.forRows(x.rows, width: columns) { rows in
    for row in rows {
      let source = x.row(type, row)
      if let epsilon {
        saved[row] = 1 / (dotLanes(columns, source, source) * mean + Scalar(epsilon)).root
      }
      let r = Scalar.Lanes(saved[row])
      let target = y.row(type, row)
      forLanes(type, columns) { i, n in
        target.set(i, n, source.lanes(i, n) * r * w.lanes(i, n))
      }
    }
  }
}

@inline(__always)
private func normaliseGradient<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ dy: Matrix, _ x: Matrix, _ weight: Matrix, _ inverseRMS: Matrix,
  _ dx: Matrix, _ accumulate: Bool, _ weightGradient: Matrix?, _ accumulateWeight: Bool,
  _ team: ThreadTeam
) {
  let columns = x.columns
  let w = weight.pointer(type)
  let mean = 1 / Scalar(max(columns, 1))
  team.sumOverRows(
    x.rows, into: weightGradient?.pointer(type), columns: columns, accumulate: accumulateWeight
  ) { rows, partial in
    for row in rows {
      let upstream = dy.row(type, row)
      let source = x.row(type, row)
      let target = dx.row(type, row)
      let r = inverseRMS.pointer(type)[row]
      let lanes = Scalar.Lanes(r)
      var products = Scalar.Lanes.zero
      forLanes(type, columns) { i, n in
        let product = upstream.lanes(i, n) * source.lanes(i, n)
        products = products.adding(product, times: w.lanes(i, n))
        partial.set(i, n, partial.lanes(i, n).adding(product, times: lanes))
      }
      let shrink = Scalar.Lanes(-r * r * r * mean * products.sum())
      forLanes(type, columns) { i, n in
        let gradient = (upstream.lanes(i, n) * w.lanes(i, n) * lanes)
          .adding(source.lanes(i, n), times: shrink)
        target.set(i, n, accumulate ? target.lanes(i, n) + gradient : gradient)
      }
    }
  }
}
