// Softmax, sigmoid and log-sum-exp over rows, with their gradients.

/// y = exp(x − max) / Σ exp(x − max) for each row; `y` may be `x`.
public func softmax(_ x: Matrix, into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y)
  switch x.precision {
  case .float32: softmaxRows(Float.self, x, y, team)
  case .float64: softmaxRows(Double.self, x, y, team)
  }
}

/// dx (+)= y · (dy − Σ dy·y) for each row; `dx` may be `dy`.
public func softmaxGradient(
  _ dy: Matrix, softmax y: Matrix, into dx: Matrix, accumulate: Bool, team: ThreadTeam
) {
  requireAlike(y, dy, dx)
  switch y.precision {
  case .float32: softmaxGradientRows(Float.self, dy, y, dx, accumulate, team)
  case .float64: softmaxGradientRows(Double.self, dy, y, dx, accumulate, team)
  }
}

/// y = 1 / (1 + e^−x); `y` may be `x`.
public func sigmoid(_ x: Matrix, into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y)
  switch x.precision {
  case .float32: sigmoidSpans(Float.self, x, y, team)
  case .float64: sigmoidSpans(Double.self, x, y, team)
  }
}

/// dx (+)= dy · y · (1 − y); `dx` may be `dy`.
public func sigmoidGradient(
  _ dy: Matrix, sigmoid y: Matrix, into dx: Matrix, accumulate: Bool, team: ThreadTeam
) {
  requireAlike(y, dy, dx)
  switch y.precision {
  case .float32: sigmoidGradientSpans(Float.self, dy, y, dx, accumulate, team)
  case .float64: sigmoidGradientSpans(Double.self, dy, y, dx, accumulate, team)
  }
}

/// y = max + ln Σ exp(x − max) for each row; y is [rows, 1].
public func logSumExp(_ x: Matrix, into y: Matrix, team: ThreadTeam) {
  requireColumn(y, for: x)
  switch x.precision {
  case .float32: logSumExps(Float.self, x, y, team)
  case .float64: logSumExps(Double.self, x, y, team)
  }
}

@inline(__always)
func largest<Scalar: KernelScalar>(_ count: Int, _ x: Pointer<Scalar>) -> Scalar {
  foldLanes(count, x, from: -.infinity, padding: -.infinity) {
    $0.larger($1)
  } join: {
    $0.larger($1)
  }.largest()
}

/// max + ln Σ exp(x − max) of one row; −∞ if all its entries are.
@inline(__always)
func logSumExp<Scalar: KernelScalar>(_ count: Int, _ x: Pointer<Scalar>) -> Scalar {
  let top = largest(count, x)
  guard top > -.infinity else { return count == 0 ? top : top + x[0] }
  let shift = Scalar.Lanes(top)
  let total = foldLanes(count, x, from: 0, padding: -.infinity) {
    $0 + ($1 - shift).exponential()
  } join: {
    $0 + $1
  }.sum()
  return top + total.logarithm
}

/// The same of some rows of x, each into its place.
@inline(__always)
func logSumExpRows<Scalar: KernelScalar>(
  _ x: Matrix, _ rows: Range<Int>, into result: Pointer<Scalar>
) where Scalar.Lanes: PowerLanes {
  if 1...Scalar.laneCount ~= x.columns {
    return logSumExpNarrowRows(Scalar.self, x, rows, into: result)
  }
  for row in rows { result[row] = logSumExp(x.columns, x.row(Scalar.self, row)) }
}

@inline(__always)
private func logSumExps<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ y: Matrix, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  team.forRows(x.rows, width: x.columns) { logSumExpRows(x, $0, into: y.pointer(type)) }
}

@inline(__always)
private func softmaxRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ y: Matrix, _ team: ThreadTeam
) {
  let columns = x.columns
  team.forRows(x.rows, width: columns) { rows in
    if 1...Scalar.laneCount ~= columns { return softmaxNarrowRows(type, x, rows, into: y) }
    for row in rows {
      let source = x.row(type, row)
      let target = y.row(type, row)
      let shift = Scalar.Lanes(largest(columns, source))
      var total = Scalar.Lanes.zero
      forLanes(type, columns) { i, n in
        let e = (source.lanes(i, n, padding: -.infinity) - shift).exponential()
        total = total + e
        target.set(i, n, e)
      }
      let factor = Scalar.Lanes(1 / total.sum())
      forLanes(type, columns) { i, n in target.set(i, n, target.lanes(i, n) * factor) }
    }
  }
}

@inline(__always)
private func softmaxGradientRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ dy: Matrix, _ y: Matrix, _ dx: Matrix, _ accumulate: Bool,
  _ team: ThreadTeam
) {
  let columns = y.columns
  team.forRows(y.rows, width: columns) { rows in
    for row in rows {
      let upstream = dy.row(type, row)
      let probabilities = y.row(type, row)
      let target = dx.row(type, row)
      let mean = Scalar.Lanes(dotLanes(columns, upstream, probabilities))
      forLanes(type, columns) { i, n in
        let gradient = probabilities.lanes(i, n) * (upstream.lanes(i, n) - mean)
        target.set(i, n, accumulate ? target.lanes(i, n) + gradient : gradient)
      }
    }
  }
}

@inline(__always)
private func sigmoidSpans<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ y: Matrix, _ team: ThreadTeam
) where Scalar.Lanes: LogisticLanes {
  team.forSpans(of: x, contiguous: x.isContiguous && y.isContiguous) { row, column, count in
    let source = x.row(type, row) + column
    let target = y.row(type, row) + column
    forLanes(type, count) { i, n in
      target.set(i, n, source.lanes(i, n).logistic())
    }
  }
}

@inline(__always)
private func sigmoidGradientSpans<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ dy: Matrix, _ y: Matrix, _ dx: Matrix, _ accumulate: Bool,
  _ team: ThreadTeam
) {
  let one = Scalar.Lanes(1)
  let contiguous = dy.isContiguous && y.isContiguous && dx.isContiguous
  team.forSpans(of: y, contiguous: contiguous) { row, column, count in
    let upstream = dy.row(type, row) + column
    let value = y.row(type, row) + column
    let target = dx.row(type, row) + column
    forLanes(type, count) { i, n in
      let y = value.lanes(i, n)
      let gradient = upstream.lanes(i, n) * y * (one - y)
      target.set(i, n, accumulate ? target.lanes(i, n) + gradient : gradient)
    }
  }
}
