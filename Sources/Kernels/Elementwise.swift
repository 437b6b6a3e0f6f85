// Element by element: sums, products, scalings, bounds, copies, conversions.

/// c = a + b; `c` may be `a` or `b`.
public func add(_ a: Matrix, _ b: Matrix, into c: Matrix, team: ThreadTeam) {
  requireAlike(a, b, c)
  switch a.precision {
  case .float32: map(Float.self, a, b, c, team) { $0 + $1 }
  case .float64: map(Double.self, a, b, c, team) { $0 + $1 }
  }
}

/// c = a · b; `c` may be `a` or `b`.
public func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, team: ThreadTeam) {
  requireAlike(a, b, c)
  switch a.precision {
  case .float32: map(Float.self, a, b, c, team) { $0 * $1 }
  case .float64: map(Double.self, a, b, c, team) { $0 * $1 }
  }
}

/// b += s · a.
public func accumulate(_ a: Matrix, scale s: Double, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  switch a.precision {
  case .float32:
    let factor = FloatLanes(Float(s))
    map(Float.self, a, b, b, team) { $1.adding($0, times: factor) }
  case .float64:
    let factor = DoubleLanes(s)
    map(Double.self, a, b, b, team) { $1.adding($0, times: factor) }
  }
}

/// b = s · a; `b` may be `a`.
public func scale(_ a: Matrix, by s: Double, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  switch a.precision {
  case .float32:
    let factor = FloatLanes(Float(s))
    map(Float.self, a, b, team) { $0 * factor }
  case .float64:
    let factor = DoubleLanes(s)
    map(Double.self, a, b, team) { $0 * factor }
  }
}

/// b = a.
public func copy(_ a: Matrix, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  switch a.precision {
  case .float32: map(Float.self, a, b, team) { $0 }
  case .float64: map(Double.self, a, b, team) { $0 }
  }
}

/// a = value everywhere.
public func fill(_ a: Matrix, _ value: Double, team: ThreadTeam) {
  switch a.precision {
  case .float32: fillSpans(Float.self, a, value, team)
  case .float64: fillSpans(Double.self, a, value, team)
  }
}

/// y = x bounded to −bound … bound, NaN stays; `y` may be `x`.
public func clamp(_ x: Matrix, to bound: Double, into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y)
  switch x.precision {
  case .float32:
    let high = FloatLanes(Float(bound))
    map(Float.self, x, y, team) { $0.larger(-high).smaller(high) }
  case .float64:
    let high = DoubleLanes(bound)
    map(Double.self, x, y, team) { $0.larger(-high).smaller(high) }
  }
}

/// dx = dy where |x| ≤ bound, else 0; `dx` may be `dy` or `x`.
public func clampGradient(
  _ dy: Matrix, _ x: Matrix, bound: Double, into dx: Matrix, team: ThreadTeam
) {
  requireAlike(x, dy, dx)
  switch x.precision {
  case .float32:
    let high = FloatLanes(Float(bound))
    map(Float.self, dy, x, dx, team) { passed($0, $1, high) }
  case .float64:
    let high = DoubleLanes(bound)
    map(Double.self, dy, x, dx, team) { passed($0, $1, high) }
  }
}

/// b = a rounded to b's precision.
public func convert(_ a: Matrix, into b: Matrix, team: ThreadTeam) {
  require(
    a.rows == b.rows && a.columns == b.columns,
    "\(a.rows) × \(a.columns) into \(b.rows) × \(b.columns)")
  switch (a.precision, b.precision) {
  case (.float32, .float64): widen(a, b, team)
  case (.float64, .float32): narrow(a, b, team)
  default: copy(a, into: b, team: team)
  }
}

@inline(__always)
private func passed<Lanes: LaneVector>(_ dy: Lanes, _ x: Lanes, _ bound: Lanes) -> Lanes {
  let below = Lanes.zero.kept(where: x, exceeds: bound, else: dy)
  return Lanes.zero.kept(where: -bound, exceeds: x, else: below)
}

@inline(__always)
private func map<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ a: Matrix, _ y: Matrix, _ team: ThreadTeam,
  _ f: (Scalar.Lanes) -> Scalar.Lanes
) {
  team.forSpans(of: a, contiguous: a.isContiguous && y.isContiguous) { row, column, count in
    let a = a.row(type, row) + column
    let y = y.row(type, row) + column
    forLanes(type, count) { i, n in y.set(i, n, f(a.lanes(i, n))) }
  }
}

@inline(__always)
private func map<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ a: Matrix, _ b: Matrix, _ y: Matrix, _ team: ThreadTeam,
  _ f: (Scalar.Lanes, Scalar.Lanes) -> Scalar.Lanes
) {
  let contiguous = a.isContiguous && b.isContiguous && y.isContiguous
  team.forSpans(of: a, contiguous: contiguous) { row, column, count in
    let a = a.row(type, row) + column
    let b = b.row(type, row) + column
    let y = y.row(type, row) + column
    forLanes(type, count) { i, n in y.set(i, n, f(a.lanes(i, n), b.lanes(i, n))) }
  }
}

@inline(__always)
private func fillSpans<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ a: Matrix, _ value: Double, _ team: ThreadTeam
) {
  team.forSpans(of: a, contiguous: a.isContiguous) { row, column, count in
    (a.row(type, row) + column).update(repeating: Scalar(value), count: count)
  }
}

private func widen(_ a: Matrix, _ b: Matrix, _ team: ThreadTeam) {
  team.forSpans(of: a, contiguous: a.isContiguous && b.isContiguous) { row, column, count in
    let source = a.row(Float.self, row) + column
    let target = b.row(Double.self, row) + column
    forLanes(Float.self, count) { i, n in
      let (low, high) = source.lanes(i, n).doubles
      target.set(i, min(n, 8), low)
      if n > 8 { target.set(i + 8, n - 8, high) }
    }
  }
}

private func narrow(_ a: Matrix, _ b: Matrix, _ team: ThreadTeam) {
  team.forSpans(of: a, contiguous: a.isContiguous && b.isContiguous) { row, column, count in
    let source = a.row(Double.self, row) + column
    let target = b.row(Float.self, row) + column
    forLanes(Float.self, count) { i, n in
      let low = source.lanes(i, min(n, 8))
      let high = n > 8 ? source.lanes(i + 8, n - 8) : .zero
      target.set(i, n, FloatLanes(low, high))
    }
  }
}
