// From logits to scalars: token log-probabilities and their sum.

import Kernels

/// log softmax(logits)[label] for each row: [T, V] gives [T, 1]; label −100 gives 0 and no gradient.
///
/// The pullback overwrites the logits with their gradient, g·(onehot − softmax), where nothing else
/// holds them: probabilities are never stored beside them.
public func tokenLogProbabilities(_ logits: Variable, labels: [Int32]) -> Variable {
  let tape = logits.tape
  let device = tape.device
  let team = tape.team
  let rows = logits.value.rows
  require(labels.count == rows, "\(labels.count) labels for \(rows) rows of logits")
  let y = device.tensor([rows, 1])
  let logSumExp = device.tensor([rows, 1])
  Kernels.tokenLogProbabilities(
    logits.value.matrix, labels: labels, into: y.matrix, logSumExp: logSumExp.matrix, team: team)
  return tape.result(y, from: [logits]) { [saved = logits.saved, slot = logits.gradient] dy in
    let own = saved.overwritable()
    let input = saved.tensor
    let gradient = own ?? device.tensor(input.shape)
    tokenLogProbabilitiesGradient(
      dy.matrix, logits: input.matrix, labels: labels, logSumExp: logSumExp.matrix,
      into: gradient.matrix, team: team)
    slot?.add(gradient)
  }
}

/// factor · Σ x, a scalar.
public func scaledSum(_ x: Variable, factor: Double) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let total = factor * Kernels.sum(x.value.matrix, team: team)
  return tape.result(device.tensor([1], [total]), from: [x]) {
    [shape = x.shape, dx = x.gradient] dy in
    dx?.add(device.tensor(shape, filledWith: factor * dy.scalar))
  }
}

/// Σ_t Σ_c x_tc · m_tc with constant m of x's shape, a scalar: any linear loss.
public func weightedTotal(_ x: Variable, weights m: Tensor) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let products = device.tensor(x.shape)
  multiply(x.value.matrix, m.matrix, into: products.matrix, team: team)
  let total = Kernels.sum(products.matrix, team: team)
  return tape.result(device.tensor([1], [total]), from: [x]) { [dx = x.gradient] dy in
    let gradient = device.tensor(m.shape)
    scale(m.matrix, by: dy.scalar, into: gradient.matrix, team: team)
    dx?.add(gradient)
  }
}
