// How far policies are from each other, exactly over the vocabulary; and losses computed elsewhere.

import Kernels

/// D(p‖q) = Σ_v p_v (ln p_v − ln q_v) for each row, p and q the softmax of finite logits: [T, V] gives
/// [T, 1]; dlogits_v = dy · p_v (ln p_v − ln q_v − D). The reference gets no gradient.
///
/// Not for logits that are split over the vocabulary: `Communicator.relativeEntropy`.
public func relativeEntropy(of logits: Variable, to reference: Tensor) -> Variable {
  require(
    reference.shape == logits.shape, "reference \(reference.shape) for logits \(logits.shape)")
  return divergence(of: logits, to: reference)
}

/// H = −Σ_v p_v ln p_v for each row: [T, V] gives [T, 1]; dlogits_v = −dy · p_v (ln p_v + H).
public func entropy(of logits: Variable) -> Variable {
  scaled(divergence(of: logits, to: nil), by: -1)
}

private func divergence(of logits: Variable, to reference: Tensor?) -> Variable {
  let tape = logits.tape
  let device = tape.device
  let team = tape.team
  func column() -> Tensor { device.tensor([logits.value.rows, 1]) }
  func logSumExp(_ x: Tensor) -> Tensor {
    let y = column()
    Kernels.logSumExp(x.matrix, into: y.matrix, team: team)
    return y
  }
  let pSum = logSumExp(logits.value)
  let q = reference.map { (logits: $0, logSumExp: logSumExp($0)) }
  func other() -> Categorical? {
    q.map { Categorical(logits: $0.logits.matrix, logSumExp: $0.logSumExp.matrix) }
  }
  let y = column()
  Kernels.relativeEntropy(
    of: Categorical(logits: logits.value.matrix, logSumExp: pSum.matrix), to: other(),
    into: y.matrix, team: team)
  return tape.result(y, from: [logits]) { [saved = logits.saved, slot = logits.gradient] dy in
    let input = saved.tensor
    let gradient = device.tensor(input.shape)
    relativeEntropyGradient(
      dy.matrix, of: Categorical(logits: input.matrix, logSumExp: pSum.matrix), to: other(),
      divergence: y.matrix, into: gradient.matrix, team: team)
    slot?.add(gradient)
  }
}

/// A scalar that was computed in Double from the operands' values, with ∂value/∂x for each operand:
/// losses of a few numbers a pair or a token, whose formula needs no tape. dx = dy · ∂value/∂x.
public func scalar(
  _ value: Double, from operands: [(x: Variable, gradient: [Double])]
) -> Variable {
  let device = operands[0].x.tape.device
  for (x, gradient) in operands {
    require(gradient.count == x.value.count, "\(gradient.count) derivatives by \(x.shape)")
  }
  return operands[0].x.tape.result(device.tensor([1], [value]), from: operands.map(\.x)) {
    [slots = operands.map { ($0.x.gradient, $0.x.shape, $0.gradient) }] dy in
    let upstream = dy.scalar
    for (slot, shape, gradient) in slots {
      slot?.add(device.tensor(shape, gradient.map { upstream * $0 }))
    }
  }
}
