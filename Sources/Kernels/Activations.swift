// The gated unit of a feed-forward layer (Shazeer 2020): f(gate)·up, weighted by row if wanted.

/// What stands on the gate.
public enum Activation: String, Codable, Sendable, CaseIterable {
  /// x · sigmoid(x)
  case silu
  /// max(x, 0)
  case relu
}

/// y[r] = w_r · f(gate[r]) · up[r]: gateUp [R, 2I] with the gate's columns first, y [R, I],
/// `rowWeights` [R, 1] or 1 everywhere.
public func gatedActivation(
  _ gateUp: Matrix, rowWeights: Matrix?, _ activation: Activation, into y: Matrix,
  team: ThreadTeam
) {
  requireAlike(gateUp, y, shape: false)
  require(
    gateUp.rows == y.rows && gateUp.columns == 2 * y.columns,
    "gate and up \(gateUp.rows) × \(gateUp.columns), output \(y.rows) × \(y.columns)")
  if let rowWeights { requireColumn(rowWeights, for: y) }
  switch (y.precision, activation) {
  case (.float32, .silu): gate(Silu<Float>.self, gateUp, rowWeights, y, team)
  case (.float64, .silu): gate(Silu<Double>.self, gateUp, rowWeights, y, team)
  case (.float32, .relu): gate(Relu<Float>.self, gateUp, rowWeights, y, team)
  case (.float64, .relu): gate(Relu<Double>.self, gateUp, rowWeights, y, team)
  }
}

/// dgate = dy·w·up·f′(gate), dup = dy·w·f(gate); dw_r = Σ dy·f(gate)·up.
///
/// `dGateUp` may be `gateUp`. `activationAgain`, which may be `dy`, gets y once more: a layer need
/// not keep it for the weight gradient of the product that follows.
public func gatedActivationGradient(
  _ dy: Matrix, gateUp: Matrix, rowWeights: Matrix?, _ activation: Activation,
  into dGateUp: Matrix, activationAgain: Matrix?, rowWeightGradient: Matrix?, team: ThreadTeam
) {
  requireAlike(gateUp, dGateUp)
  requireAlike(gateUp, dy, shape: false)
  require(
    gateUp.rows == dy.rows && gateUp.columns == 2 * dy.columns,
    "gate and up \(gateUp.rows) × \(gateUp.columns), gradient \(dy.rows) × \(dy.columns)")
  if let activationAgain { requireAlike(dy, activationAgain) }
  if let rowWeights { requireColumn(rowWeights, for: dy) }
  if let rowWeightGradient { requireColumn(rowWeightGradient, for: dy) }
  let memory = GateMemory(
    dy: dy, gateUp: gateUp, rowWeights: rowWeights, dGateUp: dGateUp,
    activationAgain: activationAgain, rowWeightGradient: rowWeightGradient)
  switch (dy.precision, activation) {
  case (.float32, .silu): gateGradient(Silu<Float>.self, memory, team)
  case (.float64, .silu): gateGradient(Silu<Double>.self, memory, team)
  case (.float32, .relu): gateGradient(Relu<Float>.self, memory, team)
  case (.float64, .relu): gateGradient(Relu<Double>.self, memory, team)
  }
}

/// An activation as f(x) = x · share(x).
// No function returns two vectors: such a pair is torn into quarters and not put together again.
private protocol Gate {
  associatedtype Scalar: KernelScalar
  static func share(_ x: Scalar.Lanes) -> Scalar.Lanes
  /// f′(x) from x's share and f(x).
  static func slope(_ share: Scalar.Lanes, _ value: Scalar.Lanes) -> Scalar.Lanes
}

private enum Silu<Scalar: KernelScalar>: Gate where Scalar.Lanes: LogisticLanes {
  @inline(__always)
  static func share(_ x: Scalar.Lanes) -> Scalar.Lanes { x.logistic() }

  /// f′ = s + f·(1 − s) with s = sigmoid(x).
  @inline(__always)
  static func slope(_ s: Scalar.Lanes, _ f: Scalar.Lanes) -> Scalar.Lanes {
    s.adding(f, times: Scalar.Lanes(1) - s)
  }
}

private enum Relu<Scalar: KernelScalar>: Gate {
  @inline(__always)
  static func share(_ x: Scalar.Lanes) -> Scalar.Lanes {
    Scalar.Lanes(1).kept(where: x, exceeds: .zero, else: .zero)
  }

  @inline(__always)
  static func slope(_ share: Scalar.Lanes, _ value: Scalar.Lanes) -> Scalar.Lanes { share }
}

@inline(__always)
private func gate<Function: Gate>(
  _ function: Function.Type, _ gateUp: Matrix, _ rowWeights: Matrix?, _ y: Matrix,
  _ team: ThreadTeam
) {
  typealias Scalar = Function.Scalar
  let width = y.columns
  let weights = rowWeights?.pointer(Scalar.self)
  team.forRows(y.rows, width: 2 * width) { rows in
    for row in rows {
      let gate = gateUp.row(Scalar.self, row)
      let up = gate + width
      let target = y.row(Scalar.self, row)
      let w = Scalar.Lanes(weights?[row] ?? 1)
      forLanes(Scalar.self, width) { i, n in
        let x = gate.lanes(i, n)
        target.set(i, n, x * Function.share(x) * up.lanes(i, n) * w)
      }
    }
  }
}

private struct GateMemory {
  let dy, gateUp: Matrix
  let rowWeights: Matrix?
  let dGateUp: Matrix
  let activationAgain, rowWeightGradient: Matrix?
}

@inline(__always)
private func gateGradient<Function: Gate>(
  _ function: Function.Type, _ memory: GateMemory, _ team: ThreadTeam
) {
  typealias Scalar = Function.Scalar
  let width = memory.dy.columns
  let weights = memory.rowWeights?.pointer(Scalar.self)
  let weightGradient = memory.rowWeightGradient?.pointer(Scalar.self)
  team.forRows(memory.dy.rows, width: 2 * width) { rows in
    for row in rows {
      let upstream = memory.dy.row(Scalar.self, row)
      let gate = memory.gateUp.row(Scalar.self, row)
      let up = gate + width
      let dGate = memory.dGateUp.row(Scalar.self, row)
      let dUp = dGate + width
      let again = memory.activationAgain?.row(Scalar.self, row)
      let w = Scalar.Lanes(weights?[row] ?? 1)
      var total = Scalar.Lanes.zero
      forLanes(Scalar.self, width) { i, n in
        let x = gate.lanes(i, n)
        let share = Function.share(x)
        let f = x * share
        let dy = upstream.lanes(i, n)
        let up = up.lanes(i, n)
        let weighted = dy * w
        dGate.set(i, n, weighted * up * Function.slope(share, f))
        dUp.set(i, n, weighted * f)
        total = total.adding(dy, times: f * up)
        again?.set(i, n, f * up * w)
      }
      weightGradient?[row] = total.sum()
    }
  }
}
