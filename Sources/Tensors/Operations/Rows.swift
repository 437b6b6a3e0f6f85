// Moving whole rows: embedding, permutation by expert, and its reverse.

import Kernels

/// Row ids[t] of the table for each t: [V, H] gives [T, H]; a negative id gives zeros.
///
/// The gradient adds dy's rows into the table's in the order of t; `frozen` rows get none.
public func embedding(_ ids: [Int32], _ table: Variable, frozen: Int32? = nil) -> Variable {
  let tape = table.tape
  let team = tape.team
  let y = tape.device.tensor([ids.count, table.shape[1]])
  gatherRows(table.value.matrix, ids, into: y.matrix, team: team)
  return tape.result(y, from: [table]) { [slot = table.gradient] dy in
    let rows = frozen.map { frozen in ids.map { $0 == frozen ? -1 : $0 } } ?? ids
    slot?.add { gradient, accumulate in
      scatterAddRows(dy.matrix, rows, into: gradient.matrix, accumulate: accumulate, team: team)
    }
  }
}

/// For each source row, which rows of a permuted array came from it: a sparse matrix of ones.
///
/// The permuted array's row p came from `source[p]`; source row t was copied to
/// `positions[starts[t] ..< starts[t + 1]]`, in the order in which they are added up again.
public struct RowMap: Sendable {
  public let source: [Int32]
  public let starts: [Int32]
  public let positions: [Int32]

  public init(source: [Int32], starts: [Int32], positions: [Int32]) {
    require(
      source.count == positions.count && Int(starts.last ?? 0) == positions.count,
      "\(source.count) copies, \(positions.count) positions, starts to \(starts.last ?? 0)")
    self.source = source
    self.starts = starts
    self.positions = positions
  }
}

/// y[p] = x[source[p]]: [T, H] gives [P, H]. Not kept for backward: gathered again from x.
///
/// dx[t] = Σ dy[p] over the copies p of t, in fixed order.
public func gather(_ x: Variable, _ map: RowMap) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let columns = x.value.columns
  func gathered(_ x: Tensor) -> Tensor {
    let y = device.tensor([map.source.count, columns])
    gatherRows(x.matrix, map.source, into: y.matrix, team: team)
    return y
  }
  return tape.result(
    gathered(x.value), from: [x], remade: { [saved = x.saved] in gathered(saved.tensor) }
  ) { [dx = x.gradient] dy in
    dx?.add { gradient, accumulate in
      combineRows(
        dy.matrix, starts: map.starts, positions: map.positions, into: gradient.matrix,
        accumulate: accumulate, team: team)
    }
  }
}

/// y[t] = residual[t] + Σ z[p] over the copies p of t, in fixed order: [P, H] gives [T, H].
///
/// dz[p] = dy[source[p]], dresidual = dy.
public func combine(_ z: Variable, _ map: RowMap, adding residual: Variable? = nil) -> Variable {
  let tape = z.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor([map.starts.count - 1, z.value.columns])
  if let residual { copy(residual.value.matrix, into: y.matrix, team: team) }
  combineRows(
    z.value.matrix, starts: map.starts, positions: map.positions, into: y.matrix,
    accumulate: residual != nil, team: team)
  return tape.result(y, from: [z] + (residual.map { [$0] } ?? [])) {
    [dz = z.gradient, dr = residual?.gradient] dy in
    if let dz {
      let gradient = device.tensor([map.source.count, dy.columns])
      gatherRows(dy.matrix, map.source, into: gradient.matrix, team: team)
      dz.add(gradient)
    }
    dr?.add(dy)
  }
}

/// y[p] = x[rows[p]]: a permutation, or a choice of rows; zeros where rows[p] is negative.
///
/// dx[rows[p]] += dy[p]; rows that were not chosen get nothing.
public func select(_ x: Variable, rows: [Int32]) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor([rows.count, x.value.columns])
  gatherRows(x.value.matrix, rows, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [dx = x.gradient] dy in
    dx?.add { gradient, accumulate in
      scatterAddRows(dy.matrix, rows, into: gradient.matrix, accumulate: accumulate, team: team)
    }
  }
}
