// Sums over a whole matrix or over its rows, and the search for what is not finite.
//
// Everything is added in an order that only the shape decides.

/// Elements whose sum is formed by one worker in one go.
private let chunk = 4096

/// Σ x, added in Double.
public func sum(_ x: Matrix, team: ThreadTeam) -> Double {
  switch x.precision {
  case .float32: total(Float.self, x, squared: false, team)
  case .float64: total(Double.self, x, squared: false, team)
  }
}

/// Σ x², squared and added in Double.
public func sumOfSquares(_ x: Matrix, team: ThreadTeam) -> Double {
  switch x.precision {
  case .float32: total(Float.self, x, squared: true, team)
  case .float64: total(Double.self, x, squared: true, team)
  }
}

/// The index (row · columns + column) of the first infinity or NaN, if there is one.
public func firstNonFinite(_ x: Matrix, team: ThreadTeam) -> Int? {
  switch x.precision {
  case .float32: nonFinite(Float.self, x, team)
  case .float64: nonFinite(Double.self, x, team)
  }
}

/// row (+)= Σ_r x[r]: a bias's gradient. `row` is [1, columns].
public func sumRows(_ x: Matrix, into row: Matrix, accumulate: Bool, team: ThreadTeam) {
  requireRow(row, for: x)
  switch x.precision {
  case .float32: columnSums(Float.self, x, row, accumulate, team)
  case .float64: columnSums(Double.self, x, row, accumulate, team)
  }
}

/// Runs `body` on chunks of up to 4096 elements, several a task; gives their results in order.
@inline(__always)
private func chunks<Scalar: KernelScalar, Result>(
  _ type: Scalar.Type, _ x: Matrix, _ team: ThreadTeam, empty: Result,
  _ body: (_ source: Pointer<Scalar>, _ count: Int) -> Result
) -> [(first: Int, result: Result)] {
  let rows = x.isContiguous ? min(x.count, 1) : x.rows
  let columns = x.isContiguous ? x.count : x.columns
  let perRow = (columns + chunk - 1) / chunk
  var results = [(first: Int, result: Result)](repeating: (0, empty), count: rows * perRow)
  results.withUnsafeMutableBufferPointer { results in
    let results = results.baseAddress
    team.forRows(rows * perRow, width: min(columns, chunk)) { range in
      for index in range {
        let column = index % perRow * chunk
        let row = index / perRow
        results![index] = (
          row * columns + column, body(x.row(type, row) + column, min(chunk, columns - column))
        )
      }
    }
  }
  return results
}

@inline(__always)
private func total<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, squared: Bool, _ team: ThreadTeam
) -> Double {
  chunks(type, x, team, empty: 0.0) { source, count in
    var even = DoubleLanes.zero
    var odd = DoubleLanes.zero
    forLanes(type, count) { i, n in
      let lanes = source.lanes(i, n)
      let doubles = squared ? lanes.squaresInDoubles() : lanes.sumInDoubles()
      let last = odd
      odd = even + doubles
      even = last
    }
    return (even + odd).sum()
  }.reduce(0) { $0 + $1.result }
}

@inline(__always)
private func nonFinite<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ team: ThreadTeam
) -> Int? {
  let zero = Scalar.Lanes.zero
  let found = chunks(type, x, team, empty: false) { source, count in
    // 0·x is 0 for every finite x, and NaN for all others.
    !foldLanes(count, source, from: 0) {
      $0.adding($1, times: zero)
    } join: {
      $0 + $1
    }.sum().isFinite
  }.first(where: \.result)
  guard let found else { return nil }
  return (found.first..<x.count).first { index in
    !x.row(type, index / x.columns)[index % x.columns].isFinite
  }
}

@inline(__always)
private func columnSums<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ x: Matrix, _ row: Matrix, _ accumulate: Bool, _ team: ThreadTeam
) {
  team.sumOverRows(
    x.rows, into: row.pointer(type), columns: x.columns, accumulate: accumulate
  ) { rows, partial in
    for row in rows {
      let source = x.row(type, row)
      forLanes(type, x.columns) { i, n in
        partial.set(i, n, partial.lanes(i, n) + source.lanes(i, n))
      }
    }
  }
}
