// Whole rows: copied by index, combined, added by index, weighted.

/// y[j] = x[rows[j]]; a negative index gives a row of zeros.
public func gatherRows(_ x: Matrix, _ rows: [Int32], into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y, shape: false)
  require(
    rows.count == y.rows && x.columns == y.columns,
    "\(rows.count) rows of \(x.columns) columns into \(y.rows) × \(y.columns)")
  for row in rows { require(row < x.rows, "row \(row) of \(x.rows)") }
  switch x.precision {
  case .float32: gather(Float.self, x, rows, y, team)
  case .float64: gather(Double.self, x, rows, y, team)
  }
}

/// y[t] (+)= Σ_j w_j · z[positions_j] over j in starts[t] ..< starts[t + 1], added in that order.
///
/// `starts` has one entry more than y has rows; `weights` is [positions.count, 1], or 1 everywhere.
public func combineRows(
  _ z: Matrix, starts: [Int32], positions: [Int32], weights: Matrix? = nil, into y: Matrix,
  accumulate: Bool, team: ThreadTeam
) {
  requireAlike(z, y, shape: false)
  require(
    starts.count == y.rows + 1 && z.columns == y.columns && Int(starts[y.rows]) == positions.count,
    "\(starts.count) starts to \(starts.last ?? 0) over \(positions.count) positions of "
      + "\(z.columns) columns into \(y.rows) × \(y.columns)")
  for position in positions {
    require(position >= 0 && position < z.rows, "row \(position) of \(z.rows)")
  }
  if let weights {
    require(
      weights.rows == positions.count && weights.columns == 1 && weights.isContiguous
        && weights.precision == z.precision,
      "weights \(weights.rows) × \(weights.columns) for \(positions.count) positions")
  }
  switch z.precision {
  case .float32: combine(Float.self, z, starts, positions, weights, y, accumulate, team)
  case .float64: combine(Double.self, z, starts, positions, weights, y, accumulate, team)
  }
}

/// table[rows[j]] += dy[j] in the order of j; a negative index is skipped. Unless `accumulate`, the
/// table is zero before: the gradient of an embedding.
public func scatterAddRows(
  _ dy: Matrix, _ rows: [Int32], into table: Matrix, accumulate: Bool, team: ThreadTeam
) {
  require(rows.count == dy.rows, "\(rows.count) indices for \(dy.rows) rows")
  // A counting sort turns the scatter into a sum for each row of the table.
  var starts = [Int32](repeating: 0, count: table.rows + 1)
  for row in rows where row >= 0 {
    require(row < table.rows, "row \(row) of \(table.rows)")
    starts[Int(row) + 1] += 1
  }
  for row in 0..<table.rows { starts[row + 1] += starts[row] }
  var next = starts
  var positions = [Int32](repeating: 0, count: Int(starts[table.rows]))
  for (j, row) in rows.enumerated() where row >= 0 {
    positions[Int(next[Int(row)])] = Int32(j)
    next[Int(row)] += 1
  }
  combineRows(
    dy, starts: starts, positions: positions, into: table, accumulate: accumulate, team: team)
}

/// y[r] (+)= Σ_c a[r, c] · b[r, c]; y is [rows, 1].
public func rowDots(_ a: Matrix, _ b: Matrix, into y: Matrix, accumulate: Bool, team: ThreadTeam) {
  requireAlike(a, b)
  requireColumn(y, for: a)
  switch a.precision {
  case .float32: dots(Float.self, a, b, y, accumulate, team)
  case .float64: dots(Double.self, a, b, y, accumulate, team)
  }
}

/// y[r] (+)= w_r · x[r]; w is [rows, 1]. `y` may be `x`.
public func scaleRows(
  _ x: Matrix, by w: Matrix, into y: Matrix, accumulate: Bool, team: ThreadTeam
) {
  requireAlike(x, y)
  requireColumn(w, for: x)
  switch x.precision {
  case .float32: scaleEachRow(Float.self, x, w, y, accumulate, team)
  case .float64: scaleEachRow(Double.self, x, w, y, accumulate, team)
  }
}

/// y[r] = x[r] + row for each r: a bias. `row` is [1, columns]; `y` may be `x`.
public func addToRows(_ x: Matrix, _ row: Matrix, into y: Matrix, team: ThreadTeam) {
  requireAlike(x, y)
  requireRow(row, for: x)
  switch x.precision {
  case .float32: addToEachRow(Float.self, x, row, y, team)
  case .float64: addToEachRow(Double.self, x, row, y, team)
  }
}

@inline(__always)
private func gather<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ rows: [Int32], _ y: Matrix, _ team: ThreadTeam
) {
  let source = x.pointer(type)
  let stride = x.stride
  let columns = y.columns
  rows.withUnsafeBufferPointer { rows in
    team.forRows(y.rows, width: columns) { range in
      if columns == 1 {
        let target = y.pointer(type)
        for row in range {
          target[row &* y.stride] = rows[row] < 0 ? 0 : source[Int(rows[row]) &* stride]
        }
        return
      }
      for row in range {
        let target = y.row(type, row)
        if rows[row] < 0 {
          forLanes(type, columns) { i, n in target.set(i, n, .zero) }
        } else {
          let source = source + Int(rows[row]) &* stride
          forLanes(type, columns) { i, n in target.set(i, n, source.lanes(i, n)) }
        }
      }
    }
  }
}

@inline(__always)
private func combine<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ z: Matrix, _ starts: [Int32], _ positions: [Int32], _ weights: Matrix?,
  _ y: Matrix, _ accumulate: Bool, _ team: ThreadTeam
) {
  let source = z.pointer(type)
  let stride = z.stride
  let w = weights?.pointer(type)
  starts.withUnsafeBufferPointer { starts in
    positions.withUnsafeBufferPointer { positions in
      team.forRows(y.rows, width: y.columns) { rows in
        for row in rows {
          let terms = Int(starts[row])..<Int(starts[row + 1])
          let target = y.row(type, row)
          if accumulate && terms.isEmpty { continue }
          forLanes(type, y.columns) { i, n in
            var total = accumulate ? target.lanes(i, n) : Scalar.Lanes.zero
            for term in terms {
              let lanes = (source + Int(positions[term]) * stride).lanes(i, n)
              if let w {
                total = total.adding(lanes, times: Scalar.Lanes(w[term]))
              } else {
                total = total + lanes
              }
            }
            target.set(i, n, total)
          }
        }
      }
    }
  }
}

@inline(__always)
private func dots<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ a: Matrix, _ b: Matrix, _ y: Matrix, _ accumulate: Bool,
  _ team: ThreadTeam
) {
  let result = y.pointer(type)
  team.forRows(a.rows, width: a.columns) { rows in
    for row in rows {
      let dot = dotLanes(a.columns, a.row(type, row), b.row(type, row))
      result[row] = accumulate ? result[row] + dot : dot
    }
  }
}

@inline(__always)
private func scaleEachRow<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ w: Matrix, _ y: Matrix, _ accumulate: Bool,
  _ team: ThreadTeam
) {
  let weights = w.pointer(type)
  team.forRows(x.rows, width: x.columns) { rows in
    for row in rows {
      let factor = Scalar.Lanes(weights[row])
      let source = x.row(type, row)
      let target = y.row(type, row)
      forLanes(type, x.columns) { i, n in
        let product = source.lanes(i, n) * factor
        target.set(i, n, accumulate ? target.lanes(i, n) + product : product)
      }
    }
  }
}

@inline(__always)
private func addToEachRow<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ row: Matrix, _ y: Matrix, _ team: ThreadTeam
) {
  let added = row.pointer(type)
  team.forRows(x.rows, width: x.columns) { rows in
    for row in rows {
      let source = x.row(type, row)
      let target = y.row(type, row)
      forLanes(type, x.columns) { i, n in
        target.set(i, n, source.lanes(i, n) + added.lanes(i, n))
      }
    }
  }
}
