// What stands between router logits and expert weights, and the router's losses.

import Kernels

/// Softmax over each row.
public func softmax(_ x: Variable) -> Variable {
  let tape = x.tape
  let team = tape.team
  let y = tape.device.tensor(x.shape)
  Kernels.softmax(x.value.matrix, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [dx = x.gradient] dy in
    dx?.add { gradient, accumulate in
      softmaxGradient(
        dy.matrix, softmax: y.matrix, into: gradient.matrix, accumulate: accumulate, team: team)
    }
  }
}

/// 1 / (1 + e^−x).
public func sigmoid(_ x: Variable) -> Variable {
  let tape = x.tape
  let team = tape.team
  let y = tape.device.tensor(x.shape)
  Kernels.sigmoid(x.value.matrix, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [dx = x.gradient] dy in
    dx?.add { gradient, accumulate in
      sigmoidGradient(
        dy.matrix, sigmoid: y.matrix, into: gradient.matrix, accumulate: accumulate, team: team)
    }
  }
}

/// The chosen scores of each row, one row a choice: scores [T, E] gives [choices, 1].
///
/// `starts` [T + 1] and `experts` list each token's choices; the count may vary from token to token.
/// w_j = s_j, or s_j / Σ_chosen s if `renormalised`.
public func chosenScores(
  _ scores: Variable, starts: [Int32], experts: [Int32], renormalised: Bool
) -> Variable {
  let tape = scores.tape
  let device = tape.device
  let y = device.tensor([experts.count, 1])
  selectScores(
    scores.value.matrix, starts: starts, columns: experts, renormalised: renormalised,
    into: y.matrix)
  return tape.result(y, from: [scores]) { [s = scores.saved, slot = scores.gradient] dy in
    slot?.add { gradient, accumulate in
      selectScoresGradient(
        dy.matrix, scores: s.tensor.matrix, selected: y.matrix, starts: starts, columns: experts,
        renormalised: renormalised, into: gradient.matrix, accumulate: accumulate)
    }
  }
}

/// Each row divided by its sum.
public func rowNormalised(_ x: Variable) -> Variable {
  let columns = x.value.columns
  let rows = x.value.rows
  let starts = (0...rows).map { Int32($0 * columns) }
  let all = (0..<rows * columns).map { Int32($0 % columns) }
  return reshaped(chosenScores(x, starts: starts, experts: all, renormalised: true), x.shape)
}

/// The same elements under another shape.
public func reshaped(_ x: Variable, _ shape: TensorShape) -> Variable {
  x.tape.result(x.value.reshaped(shape), from: [x]) { [own = x.shape, dx = x.gradient] dy in
    dx?.add(dy.reshaped(own))
  }
}

/// log Σ_e exp(x_e) of each row: [T, E] gives [T, 1]; dx = dy · softmax(x).
public func logSumExp(_ x: Variable) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor([x.value.rows, 1])
  Kernels.logSumExp(x.value.matrix, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [saved = x.saved, slot = x.gradient] dy in
    slot?.add { gradient, accumulate in
      let probabilities = device.tensor(saved.tensor.shape)
      Kernels.softmax(saved.tensor.matrix, into: probabilities.matrix, team: team)
      scaleRows(
        probabilities.matrix, by: dy.matrix, into: gradient.matrix, accumulate: accumulate,
        team: team)
    }
  }
}
