// Matrix products as differentiable operations.

import Kernels

/// x·Wᵀ (+ residual): [.., K] with weight [N, K] gives [.., N].
///
/// dx = dy·W, dW = dyᵀ·x, dresidual = dy.
public func linear(_ x: Variable, _ weight: Variable, adding residual: Variable? = nil) -> Variable
{
  let tape = x.tape
  let team = tape.team
  let y = tape.device.tensor(x.shape.replacing(last: weight.shape[0]))
  if let residual { copy(residual.value.matrix, into: y.matrix, team: team) }
  product(
    x.value.matrix, weight.value.matrix, into: y.matrix, transposed: .right,
    accumulate: residual != nil, team: team)
  return linearResult(y, x, weight, adding: residual)
}

/// x·Wᵀ of each x and its weight, computed together.
public func linears(_ inputs: [Variable], _ weights: [Variable]) -> [Variable] {
  require(inputs.count == weights.count, "\(inputs.count) inputs, \(weights.count) weights")
  guard let tape = inputs.first?.tape else { return [] }
  let results = inputs.indices.map { index in
    tape.device.tensor(inputs[index].shape.replacing(last: weights[index].shape[0]))
  }
  products(
    inputs.indices.map { index in
      (inputs[index].value.matrix, weights[index].value.matrix, results[index].matrix)
    }, team: tape.team)
  return inputs.indices.map { index in
    linearResult(results[index], inputs[index], weights[index], adding: nil)
  }
}

private func linearResult(
  _ y: Tensor, _ x: Variable, _ weight: Variable, adding residual: Variable?
) -> Variable {
  let tape = x.tape
  let team = tape.team
  return tape.result(y, from: [x, weight] + (residual.map { [$0] } ?? [])) {
    [
      input = x.saved, w = weight.value, dx = x.gradient, dw = weight.gradient,
      dr = residual?.gradient
    ] dy in
    dw?.add { gradient, accumulate in
      product(
        dy.matrix, input.tensor.matrix, into: gradient.matrix, transposed: .left,
        accumulate: accumulate, team: team)
    }
    dx?.add { gradient, accumulate in
      product(dy.matrix, w.matrix, into: gradient.matrix, accumulate: accumulate, team: team)
    }
    dr?.add(dy)
  }
}

/// x·Wᵀ for few outputs, with bits that do not depend on how many rows x has: a router's logits.
///
/// dx = dy·W, dW = dyᵀ·x.
public func rowStableLinear(_ x: Variable, _ weight: Variable) -> Variable {
  let tape = x.tape
  let team = tape.team
  let y = tape.device.tensor(x.shape.replacing(last: weight.shape[0]))
  rowStableProduct(x.value.matrix, weight.value.matrix, into: y.matrix, team: team)
  return tape.result(y, from: [x, weight]) {
    [input = x.saved, w = weight.value, dx = x.gradient, dw = weight.gradient] dy in
    dw?.add { gradient, accumulate in
      product(
        dy.matrix, input.tensor.matrix, into: gradient.matrix, transposed: .left,
        accumulate: accumulate, team: team)
    }
    dx?.add { gradient, accumulate in
      product(dy.matrix, w.matrix, into: gradient.matrix, accumulate: accumulate, team: team)
    }
  }
}

/// Rows offsets[e] ..< offsets[e + 1] of x times the transpose of their group's weight:
/// [R, K] with weights [E, .., K] gives [R, N], N the product of the middle dimensions.
///
/// A group without rows gets a gradient of zeros.
public func groupedLinear(_ x: Variable, offsets: [Int], _ weights: Variable) -> Variable {
  let tape = x.tape
  let team = tape.team
  let y = tape.device.tensor([x.value.rows, weights.value.rows / weights.shape[0]])
  groupedProduct(
    x.value.matrix, offsets: offsets, weights: weights.value.groups, into: y.matrix, form: .output,
    team: team)
  return tape.result(y, from: [x, weights]) {
    [input = x.saved, w = weights.value, dx = x.gradient, dw = weights.gradient] dy in
    dw?.add { gradient, accumulate in
      groupedWeightGradient(
        dy.matrix, input.tensor.matrix, offsets: offsets, into: gradient.groups,
        accumulate: Array(repeating: accumulate, count: gradient.shape[0]), team: team)
    }
    dx?.add { gradient, accumulate in
      groupedProduct(
        dy.matrix, offsets: offsets, weights: w.groups, into: gradient.matrix, form: .inputGradient,
        accumulate: accumulate, team: team)
    }
  }
}

/// (w_r · f(gate) · up)·Wᵀ by groups: gateUp [R, 2I] (gate columns first), weights [E, N, I],
/// rowWeights [R, 1], gives [R, N].
///
/// The activation is not kept: its pullback makes it again, and overwrites gateUp with its gradient
/// where nothing else holds it.
public func gatedLinear(
  _ gateUp: Variable, rowWeights: Variable?, _ activation: Activation, offsets: [Int],
  _ weights: Variable
) -> Variable {
  let tape = gateUp.tape
  let device = tape.device
  let team = tape.team
  let rows = gateUp.value.rows
  let y = device.tensor([rows, weights.shape[1]])
  do {
    let hidden = device.tensor([rows, weights.shape[2]])
    gatedActivation(
      gateUp.value.matrix, rowWeights: rowWeights?.value.matrix, activation, into: hidden.matrix,
      team: team)
    groupedProduct(
      hidden.matrix, offsets: offsets, weights: weights.value.groups, into: y.matrix, form: .output,
      team: team)
  }
  return tape.result(y, from: [gateUp, weights] + (rowWeights.map { [$0] } ?? [])) {
    [
      saved = gateUp.saved, rowWeights = rowWeights?.value, w = weights.value,
      dGateUp = gateUp.gradient, dRow = rowWeights?.gradient, dw = weights.gradient
    ] dy in
    // dHidden, then (in its place) the activation once more.
    let hidden = device.tensor([rows, w.shape[2]])
    groupedProduct(
      dy.matrix, offsets: offsets, weights: w.groups, into: hidden.matrix, form: .inputGradient,
      team: team)
    let own = saved.overwritable()
    let input = saved.tensor
    let gradient = own ?? device.tensor(input.shape)
    let rowGradient = dRow == nil ? nil : device.tensor([rows, 1])
    gatedActivationGradient(
      hidden.matrix, gateUp: input.matrix, rowWeights: rowWeights?.matrix, activation,
      into: gradient.matrix, activationAgain: hidden.matrix, rowWeightGradient: rowGradient?.matrix,
      team: team)
    dw?.add { gradient, accumulate in
      groupedWeightGradient(
        dy.matrix, hidden.matrix, offsets: offsets, into: gradient.groups,
        accumulate: Array(repeating: accumulate, count: gradient.shape[0]), team: team)
    }
    if let rowGradient { dRow?.add(rowGradient) }
    dGateUp?.add(gradient)
  }
}

extension Tensor {
  /// [E, N, K] as E matrices N × K; [E, .., N, K] with the middle dimensions as rows.
  package var groups: [Matrix] {
    let first = firstMatrix(of: max(shape[0], 1))
    let bytes = first.count * precision.bytes
    return (0..<shape[0]).map { index in
      Matrix(
        first.base + index * bytes, rows: first.rows, columns: first.columns,
        precision: precision, turned: first.turned.map { $0 + index * bytes })
    }
  }
}
