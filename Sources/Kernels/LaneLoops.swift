// The loops that kernels share: how rows are cut into tasks, and how a row is walked in lanes.
//
// Tasks are cut by shape alone, so that no result depends on the team's size.

typealias Pointer<Scalar> = UnsafeMutablePointer<Scalar>

/// Elements of one task: about a microsecond of work, and well inside a core's cache.
private let taskElements = 16_384

extension ThreadTeam {
  /// Runs `body` on ranges of rows that cover 0 ..< rows; little work runs as one task.
  @inline(__always)
  func forRows(
    _ rows: Int, width: Int, function: StaticString = #function, file: StaticString = #fileID,
    _ body: (_ rows: Range<Int>) -> Void
  ) {
    guard rows > 0 else { return }
    let perTask =
      rows * width <= taskElements * 5 / 4 ? rows : max(1, taskElements / max(width, 1))
    run((rows + perTask - 1) / perTask, function: function, file: file) { task, _ in
      body(task * perTask..<min(rows, (task + 1) * perTask))
    }
  }

  /// Runs `body(row, first column, count)` on spans that cover a matrix of this shape.
  ///
  /// If all matrices of a call are `contiguous` a span may run over rows' ends: everything then lies
  /// in row 0.
  @inline(__always)
  func forSpans(
    of shape: Matrix, contiguous: Bool, function: StaticString = #function,
    file: StaticString = #fileID, _ body: (_ row: Int, _ column: Int, _ count: Int) -> Void
  ) {
    guard contiguous else {
      return forRows(shape.rows, width: shape.columns, function: function, file: file) { rows in
        for row in rows { body(row, 0, shape.columns) }
      }
    }
    forRows(shape.count, width: 1, function: function, file: file) { span in
      body(0, span.lowerBound, span.count)
    }
  }

  /// Sums over rows in a fixed order: `body` adds a range of rows into its own zeroed row of
  /// `columns`, then the ranges' rows are added in order into `result`.
  @inline(__always)
  func sumOverRows<Scalar: KernelScalar>(
    _ rows: Int, into result: Pointer<Scalar>?, columns: Int, accumulate: Bool,
    function: StaticString = #function, file: StaticString = #fileID,
    _ body: (_ rows: Range<Int>, _ partial: Pointer<Scalar>) -> Void
  ) {
    let perTask = max(32, taskElements / max(columns, 1))
    let tasks = (rows + perTask - 1) / perTask
    // Workers write into the caller's scratch, which the caller does not ask for again meanwhile.
    let partials = scratch(bytes: tasks * columns * MemoryLayout<Scalar>.stride, worker: 0)
      .assumingMemoryBound(to: Scalar.self)
    run(tasks, function: function, file: file) { task, _ in
      let partial = partials + task * columns
      partial.update(repeating: 0, count: columns)
      body(task * perTask..<min(rows, (task + 1) * perTask), partial)
    }
    guard let result else { return }
    if !accumulate { result.update(repeating: 0, count: columns) }
    for task in 0..<tasks {
      let partial = partials + task * columns
      forLanes(Scalar.self, columns) { i, n in
        result.set(i, n, result.lanes(i, n) + partial.lanes(i, n))
      }
    }
  }
}

extension UnsafeMutablePointer where Pointee: KernelScalar {
  /// Elements i ..< i + n as lanes; n below the lane count leaves the other lanes at `padding`.
  @inline(__always)
  func lanes(_ i: Int, _ n: Int, padding: Pointee = 0) -> Pointee.Lanes {
    n == Pointee.laneCount
      ? Pointee.Lanes(self + i) : Pointee.Lanes(self + i, first: n, padding: padding)
  }

  /// Writes the first n lanes to elements i ..< i + n.
  @inline(__always)
  func set(_ i: Int, _ n: Int, _ lanes: Pointee.Lanes) {
    if n == Pointee.laneCount {
      lanes.store(to: self + i)
    } else {
      lanes.store(to: self + i, first: n)
    }
  }
}

/// Walks 0 ..< count in lanes: `body(first, n)` with n the lane count, at the end what is left.
@inline(__always)
func forLanes<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ count: Int, _ body: (_ first: Int, _ n: Int) -> Void
) {
  var i = 0
  while i &+ Scalar.laneCount <= count {
    body(i, Scalar.laneCount)
    i &+= Scalar.laneCount
  }
  if i < count { body(i, count &- i) }
}

/// Folds a row with `step` in four chains, joined by `join`; beyond the row's end stands `padding`.
@inline(__always)
func foldLanes<Scalar: KernelScalar>(
  _ count: Int, _ a: Pointer<Scalar>, from initial: Scalar, padding: Scalar = 0,
  _ step: (_ chain: Scalar.Lanes, _ a: Scalar.Lanes) -> Scalar.Lanes,
  join: (Scalar.Lanes, Scalar.Lanes) -> Scalar.Lanes
) -> Scalar.Lanes {
  let lanes = Scalar.laneCount
  var s0 = Scalar.Lanes(initial)
  var s1 = s0
  var s2 = s0
  var s3 = s0
  var i = 0
  while i &+ 4 &* lanes <= count {
    s0 = step(s0, Scalar.Lanes(a + i))
    s1 = step(s1, Scalar.Lanes(a + (i &+ lanes)))
    s2 = step(s2, Scalar.Lanes(a + (i &+ 2 &* lanes)))
    s3 = step(s3, Scalar.Lanes(a + (i &+ 3 &* lanes)))
    i &+= 4 &* lanes
  }
  while i &+ lanes <= count {
    s0 = step(s0, Scalar.Lanes(a + i))
    i &+= lanes
  }
  if i < count { s0 = step(s0, Scalar.Lanes(a + i, first: count &- i, padding: padding)) }
  return join(join(s0, s1), join(s2, s3))
}

/// Σ aᵢ·bᵢ in four chains.
@inline(__always)
func dotLanes<Scalar: KernelScalar>(_ count: Int, _ a: Pointer<Scalar>, _ b: Pointer<Scalar>)
  -> Scalar
{
  let lanes = Scalar.laneCount
  var s0 = Scalar.Lanes.zero
  var s1 = s0
  var s2 = s0
  var s3 = s0
  var i = 0
  while i &+ 4 &* lanes <= count {
    s0 = s0.adding(Scalar.Lanes(a + i), times: Scalar.Lanes(b + i))
    s1 = s1.adding(Scalar.Lanes(a + (i &+ lanes)), times: Scalar.Lanes(b + (i &+ lanes)))
    s2 = s2.adding(
      Scalar.Lanes(a + (i &+ 2 &* lanes)), times: Scalar.Lanes(b + (i &+ 2 &* lanes)))
    s3 = s3.adding(
      Scalar.Lanes(a + (i &+ 3 &* lanes)), times: Scalar.Lanes(b + (i &+ 3 &* lanes)))
    i &+= 4 &* lanes
  }
  while i &+ lanes <= count {
    s0 = s0.adding(Scalar.Lanes(a + i), times: Scalar.Lanes(b + i))
    i &+= lanes
  }
  if i < count {
    s0 = s0.adding(
      Scalar.Lanes(a + i, first: count &- i), times: Scalar.Lanes(b + i, first: count &- i))
  }
  return ((s0 + s1) + (s2 + s3)).sum()
}

extension Matrix {
  /// The start of a row.
  @inline(__always)
  func row<Scalar>(_ type: Scalar.Type, _ row: Int) -> Pointer<Scalar> {
    pointer(type) + row * stride
  }
}

/// Traps unless all matrices have the first one's precision and, if `shape`, its rows and columns.
@inline(__always)
func requireAlike(
  _ first: Matrix, _ second: Matrix, _ third: Matrix? = nil, _ fourth: Matrix? = nil,
  shape: Bool = true, file: StaticString = #fileID, line: UInt = #line
) {
  func check(_ other: Matrix) {
    require(
      other.precision == first.precision
        && (!shape || (other.rows == first.rows && other.columns == first.columns)),
      "\(first.rows) × \(first.columns) \(first.precision) with "
        + "\(other.rows) × \(other.columns) \(other.precision)", file: file, line: line)
  }
  check(second)
  if let third { check(third) }
  if let fourth { check(fourth) }
}

/// Traps unless `column` holds one contiguous number for each row of `x`.
@inline(__always)
func requireColumn(
  _ column: Matrix, for x: Matrix, file: StaticString = #fileID, line: UInt = #line
) {
  require(
    column.rows == x.rows && column.columns == 1 && column.isContiguous
      && column.precision == x.precision,
    "\(column.rows) × \(column.columns) \(column.precision), stride \(column.stride), as one number "
      + "for each of \(x.rows) rows of \(x.precision)", file: file, line: line)
}

/// Traps unless `row` holds one number for each column of `x`.
@inline(__always)
func requireRow(_ row: Matrix, for x: Matrix, file: StaticString = #fileID, line: UInt = #line) {
  require(
    row.rows == 1 && row.columns == x.columns && row.precision == x.precision,
    "\(row.rows) × \(row.columns) \(row.precision) as one number for each of \(x.columns) columns "
      + "of \(x.precision)", file: file, line: line)
}
