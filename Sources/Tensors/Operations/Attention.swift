// Normalisation, rotary embedding and attention as differentiable operations.

import Kernels

/// Root-mean-square norm over groups of `weight`'s width (Zhang & Sennrich 2019):
/// y = w · x / √(mean x² + ε). The output is not kept for backward: it is made again from x.
public func rmsNorm(_ x: Variable, _ weight: Variable, epsilon: Double) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let width = weight.value.count
  let w = weight.value.reshaped([1, width])
  let y = device.tensor(x.shape)
  let inverse = device.tensor([x.value.count / width, 1])
  Kernels.rmsNorm(
    x.value.matrix(columns: width), weight: w.matrix, epsilon: epsilon,
    into: y.matrix(columns: width), inverseRMS: inverse.matrix, team: team)
  func again(_ input: Tensor) -> Tensor {
    let y = device.tensor(input.shape)
    rmsNormAgain(
      input.matrix(columns: width), weight: w.matrix, inverseRMS: inverse.matrix,
      into: y.matrix(columns: width), team: team)
    return y
  }
  return tape.result(
    y, from: [x, weight], remade: { [saved = x.saved] in again(saved.tensor) }
  ) {
    [saved = x.saved, dxSlot = x.gradient, dw = weight.gradient] dy in
    func pull(into dx: Tensor, accumulate: Bool) {
      func kernel(_ weightGradient: Tensor?, _ accumulateWeight: Bool) {
        rmsNormGradient(
          dy.matrix(columns: width), saved.tensor.matrix(columns: width), weight: w.matrix,
          inverseRMS: inverse.matrix, into: dx.matrix(columns: width), accumulate: accumulate,
          weightGradient: weightGradient?.reshaped([1, width]).matrix,
          accumulateWeight: accumulateWeight, team: team)
      }
      if let dw { dw.add { kernel($0, $1) } } else { kernel(nil, false) }
    }
    if let dxSlot {
      dxSlot.add { pull(into: $0, accumulate: $1) }
    } else {
      pull(into: device.tensor(dy.shape), accumulate: false)
    }
  }
}

/// Rotary position embedding (Su et al. 2021), pairs (i, i + half) of each head; the pullback
/// rotates back.
public func rotary(
  _ x: Variable, headWidth: Int, positions: [Int32], _ table: RotaryTable
) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor(x.shape)
  rotate(
    x.value.matrix, headWidth: headWidth, positions: positions, table: table, inverse: false,
    into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [dx = x.gradient] dy in
    let gradient = device.tensor(dy.shape)
    rotate(
      dy.matrix, headWidth: headWidth, positions: positions, table: table, inverse: true,
      into: gradient.matrix, team: team)
    dx?.add(gradient)
  }
}

/// Causal grouped-query attention: softmax(scale · q·kᵀ)·v by head; shapes as `AttentionShape`.
///
/// Probabilities are made again from the log-sum-exp in backward (Dao 2023), a block at a time.
public func attention(
  _ queries: Variable, _ keys: Variable, _ values: Variable, _ shape: AttentionShape
) -> Variable {
  let tape = queries.tape
  let device = tape.device
  let team = tape.team
  let output = device.tensor(queries.shape)
  let logSumExp = device.tensor([shape.sequences * shape.heads, shape.queryLength])
  Kernels.attention(
    queries: queries.value.matrix, keys: keys.value.matrix, values: values.value.matrix,
    shape: shape, into: output.matrix, logSumExp: logSumExp.matrix, team: team)
  return tape.result(output, from: [queries, keys, values]) {
    [
      q = queries.saved, k = keys.saved, v = values.saved, dq = queries.gradient,
      dk = keys.gradient, dv = values.gradient
    ] dy in
    let gradients = [q, k, v].map { device.tensor($0.tensor.shape) }
    attentionGradient(
      outputGradient: dy.matrix, queries: q.tensor.matrix, keys: k.tensor.matrix,
      values: v.tensor.matrix, output: output.matrix, logSumExp: logSumExp.matrix, shape: shape,
      into: gradients[0].matrix, gradients[1].matrix, gradients[2].matrix, team: team)
    dq?.add(gradients[0])
    dk?.add(gradients[1])
    dv?.add(gradients[2])
  }
}
