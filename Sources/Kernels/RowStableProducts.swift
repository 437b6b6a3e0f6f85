// A product whose rows do not know of each other: a router's logits.

/// y[T, E] = x[T, K] · w[E, K]ᵀ; the bits of a row depend on that row and w alone, never on T or on
/// where the row stands.
///
/// For narrow outputs: w is transposed at each call, by the calling thread.
public func rowStableProduct(_ x: Matrix, _ w: Matrix, into y: Matrix, team: ThreadTeam) {
  requireProduct(x, w, y, .right)
  switch x.precision {
  case .float32: rowStable(Float.self, x, w, y, team)
  case .float64: rowStable(Double.self, x, w, y, team)
  }
}

@inline(__always)
private func rowStable<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ w: Matrix, _ y: Matrix, _ team: ThreadTeam
) {
  guard y.count > 0 else { return }
  let lanes = Scalar.laneCount
  let depth = x.columns
  let width = (y.columns + lanes - 1) / lanes * lanes
  // Workers read from the caller's scratch, and nobody asks for scratch meanwhile. The last eight
  // rows are copied where fewer are left.
  let tasks = (x.rows + 63) / 64
  let scratch = team.scratch(
    bytes: (depth * (width + tileRows) + tasks * tileRows * width)
      * MemoryLayout<Scalar>.stride, worker: 0
  ).assumingMemoryBound(to: type)
  let right = TileColumns(base: scratch, step: width)
  let rest = scratch + depth * width
  let sums = rest + depth * tileRows
  for k in 0..<depth { right[k, y.columns].update(repeating: 0, count: width - y.columns) }
  transpose(w.pointer(type), w.stride, rows: w.rows, columns: depth, into: scratch, width)
  let whole = x.rows / tileRows * tileRows
  rest.update(repeating: 0, count: depth * tileRows)
  for row in whole..<x.rows {
    (rest + (row - whole) * depth).update(from: x.row(type, row), count: depth)
  }
  let perTask = depth * width * x.rows < 1 << 16 ? tasks : 1
  team.run((tasks + perTask - 1) / perTask) { task, _ in
    let sum = TileColumns(base: sums + task * tileRows * width, step: width)
    let first = task * perTask * 64
    for row in stride(from: first, to: min(x.rows, first + perTask * 64), by: tileRows) {
      let left =
        row < whole
        ? TileRows(base: x.row(type, row), rowStep: x.stride, depthStep: 1)
        : TileRows(base: rest, rowStep: depth, depthStep: 1)
      multiplyEightRows(left, right, into: sum, depth: depth, columns: width, accumulate: false)
      for i in 0..<min(tileRows, x.rows - row) {
        y.row(type, row + i).update(from: sum[i, 0], count: y.columns)
      }
    }
  }
}
