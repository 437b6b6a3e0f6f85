// Element by element: sums, products, scalings, bounds, copies.

/// c = a + b; `c` may be `a` or `b`.
public func add(_ a: Matrix, _ b: Matrix, into c: Matrix, team: ThreadTeam) {
  requireAlike(a, b, c)
  switch a.precision {
  case .float32: map(Sum<Float>(), a, b, c, team)
  case .float64: map(Sum<Double>(), a, b, c, team)
  }
}

/// c = a · b; `c` may be `a` or `b`.
public func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, team: ThreadTeam) {
  requireAlike(a, b, c)
  switch a.precision {
  case .float32: map(Product<Float>(), a, b, c, team)
  case .float64: map(Product<Double>(), a, b, c, team)
  }
}

/// b += s · a.
public func accumulate(_ a: Matrix, scale s: Double, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  switch a.precision {
  case .float32: map(Accumulation<Float>(factor: FloatLanes(Float(s))), a, b, b, team)
  case .float64: map(Accumulation<Double>(factor: DoubleLanes(s)), a, b, b, team)
  }
}

/// b = s · a; `b` may be `a`.
public func scale(_ a: Matrix, by s: Double, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  switch a.precision {
  case .float32: map(Scaling<Float>(factor: FloatLanes(Float(s))), a, b, team)
  case .float64: map(Scaling<Double>(factor: DoubleLanes(s)), a, b, team)
  }
}

/// y = x bounded to −bound … bound, NaN stays; `y` may be `x`.
public func clamp(_ x: Matrix, to bound: Double, into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y)
  switch x.precision {
  case .float32: map(Clamp<Float>(bound: FloatLanes(Float(bound))), x, y, team)
  case .float64: map(Clamp<Double>(bound: DoubleLanes(bound)), x, y, team)
  }
}

/// dx = dy where |x| ≤ bound, else 0; `dx` may be `dy` or `x`.
public func clampGradient(
  _ dy: Matrix, _ x: Matrix, bound: Double, into dx: Matrix, team: ThreadTeam
) {
  requireAlike(x, dy, dx)
  switch x.precision {
  case .float32: map(Passage<Float>(bound: FloatLanes(Float(bound))), dy, x, dx, team)
  case .float64: map(Passage<Double>(bound: DoubleLanes(bound)), dy, x, dx, team)
  }
}

/// b = a.
public func copy(_ a: Matrix, into b: Matrix, team: ThreadTeam) {
  requireAlike(a, b)
  let bytes = a.precision.bytes
  team.forSpans(of: a, contiguous: a.isContiguous && b.isContiguous) { row, column, count in
    (b.base + (row * b.stride + column) * bytes).copyMemory(
      from: a.base + (row * a.stride + column) * bytes, byteCount: count * bytes)
  }
}

/// a = value everywhere.
public func fill(_ a: Matrix, _ value: Double, team: ThreadTeam) {
  switch a.precision {
  case .float32: fillSpans(Float.self, a, value, team)
  case .float64: fillSpans(Double.self, a, value, team)
  }
}

// Types and not closures: a closure that is passed on is called through a pointer.
private protocol UnaryOperation {
  associatedtype Scalar: KernelScalar
  func callAsFunction(_ a: Scalar.Lanes) -> Scalar.Lanes
}

private protocol BinaryOperation {
  associatedtype Scalar: KernelScalar
  func callAsFunction(_ a: Scalar.Lanes, _ b: Scalar.Lanes) -> Scalar.Lanes
}

private struct Scaling<Scalar: KernelScalar>: UnaryOperation {
  let factor: Scalar.Lanes
  @inline(__always)
  func callAsFunction(_ a: Scalar.Lanes) -> Scalar.Lanes { a * factor }
}

private struct Clamp<Scalar: KernelScalar>: UnaryOperation {
  let bound: Scalar.Lanes
  @inline(__always)
  func callAsFunction(_ a: Scalar.Lanes) -> Scalar.Lanes { a.larger(-bound).smaller(bound) }
}

private struct Sum<Scalar: KernelScalar>: BinaryOperation {
  @inline(__always)
  func callAsFunction(_ a: Scalar.Lanes, _ b: Scalar.Lanes) -> Scalar.Lanes { a + b }
}

private struct Product<Scalar: KernelScalar>: BinaryOperation {
  @inline(__always)
  func callAsFunction(_ a: Scalar.Lanes, _ b: Scalar.Lanes) -> Scalar.Lanes { a * b }
}

private struct Accumulation<Scalar: KernelScalar>: BinaryOperation {
  let factor: Scalar.Lanes
  @inline(__always)
  func callAsFunction(_ a: Scalar.Lanes, _ b: Scalar.Lanes) -> Scalar.Lanes {
    b.adding(a, times: factor)
  }
}

/// dy where x lies within the bound, else 0.
private struct Passage<Scalar: KernelScalar>: BinaryOperation {
  let bound: Scalar.Lanes
  @inline(__always)
  func callAsFunction(_ dy: Scalar.Lanes, _ x: Scalar.Lanes) -> Scalar.Lanes {
    let zero = Scalar.Lanes.zero
    let below = zero.kept(where: x, exceeds: bound, else: dy)
    return zero.kept(where: -bound, exceeds: x, else: below)
  }
}

@inline(__always)
private func map<Operation: UnaryOperation>(
  _ operation: Operation, _ a: Matrix, _ y: Matrix, _ team: ThreadTeam
) {
  typealias Scalar = Operation.Scalar
  team.forSpans(of: a, contiguous: a.isContiguous && y.isContiguous) { row, column, count in
    let a = a.row(Scalar.self, row) + column
    let y = y.row(Scalar.self, row) + column
    forLanes(Scalar.self, count) { i, n in y.set(i, n, operation(a.lanes(i, n))) }
  }
}

@inline(__always)
private func map<Operation: BinaryOperation>(
  _ operation: Operation, _ a: Matrix, _ b: Matrix, _ y: Matrix, _ team: ThreadTeam
) {
  typealias Scalar = Operation.Scalar
  let contiguous = a.isContiguous && b.isContiguous && y.isContiguous
  team.forSpans(of: a, contiguous: contiguous) { row, column, count in
    let a = a.row(Scalar.self, row) + column
    let b = b.row(Scalar.self, row) + column
    let y = y.row(Scalar.self, row) + column
    forLanes(Scalar.self, count) { i, n in y.set(i, n, operation(a.lanes(i, n), b.lanes(i, n))) }
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
