// The work of one attention task: the queries of one sequence for all heads that share a key/value
// head, in blocks of rows.

/// Row r is query r / group of head r % group: neighbouring rows see nearly the same keys.
struct AttentionRows {
  let sequence, keyValueHead: Int
  let shape: AttentionShape
  let group: Int
  let headWidth: Int

  init(sequence: Int, keyValueHead: Int, _ shape: AttentionShape) {
    self.sequence = sequence
    self.keyValueHead = keyValueHead
    self.shape = shape
    group = shape.group
    headWidth = shape.headWidth
  }

  var count: Int { shape.queryLength * group }
  var keyCount: Int { shape.keyLength(of: sequence) }

  /// Calls `body(i, query, head)` for row i of these.
  @inline(__always)
  func forEach(_ rows: Range<Int>, _ body: (_ i: Int, _ query: Int, _ head: Int) -> Void) {
    var query = rows.lowerBound / group
    var member = rows.lowerBound % group
    for i in 0..<rows.count {
      body(i, query, keyValueHead &* group &+ member)
      member &+= 1
      if member == group {
        member = 0
        query &+= 1
      }
    }
  }

  /// Calls `body(i, start)` with the start of row i of these in a matrix shaped like q.
  @inline(__always)
  func forEach<Scalar>(
    _ type: Scalar.Type, _ rows: Range<Int>, of matrix: Matrix,
    _ body: (_ i: Int, _ start: Pointer<Scalar>) -> Void
  ) {
    let first = matrix.row(type, sequence * shape.queryLength)
    forEach(rows) { i, query, head in
      body(i, first + (query &* matrix.stride &+ head &* headWidth))
    }
  }

  /// Calls `body(i, place)` with row i's place in logSumExp.
  @inline(__always)
  func forEachLogSum<Scalar>(
    _ type: Scalar.Type, _ rows: Range<Int>, of matrix: Matrix,
    _ body: (_ i: Int, _ place: Pointer<Scalar>) -> Void
  ) {
    let first = matrix.row(type, sequence * shape.heads)
    forEach(rows) { i, query, head in body(i, first + (head &* matrix.stride &+ query)) }
  }

  /// The start of key j in a matrix shaped like k.
  @inline(__always)
  func start<Scalar>(_ type: Scalar.Type, ofKey key: Int, in matrix: Matrix) -> Pointer<Scalar> {
    matrix.row(type, sequence * shape.keyCapacity + key) + keyValueHead * headWidth
  }

  /// target[i] = scale · row i of these in a matrix shaped like q, zeros up to whole vectors and to
  /// as many rows as `across` has columns; across = targetᵀ.
  @inline(__always)
  func pack<Scalar: KernelScalar>(
    _ matrix: Matrix, _ rows: Range<Int>, scale: Double, into target: TileColumns<Scalar>,
    across: TileColumns<Scalar>
  ) {
    let factor = Scalar.Lanes(Scalar(scale))
    forEach(Scalar.self, rows, of: matrix) { i, start in
      forLanes(Scalar.self, headWidth) { c, n in
        (start.lanes(c, n) * factor).store(to: target[i, c])
      }
    }
    target[rows.count, 0].update(repeating: 0, count: (across.step - rows.count) * target.step)
    transpose(
      target.base, target.step, rows: across.step, columns: headWidth, into: across.base,
      across.step)
  }

  /// All keys (or values) with whole vectors in each row and whole tiles of rows.
  ///
  /// Copied, so that they lie close together, unless they serve few rows and can be read in place;
  /// what then stands behind the last key is not looked at by any row.
  @inline(__always)
  func keys<Scalar: KernelScalar>(
    _ matrix: Matrix, copy: TileColumns<Scalar>, rows: Int
  ) -> TileColumns<Scalar> {
    let wholeTiles = (keyCount + tileRows - 1) / tileRows * tileRows
    if rows < 32 && headWidth % Scalar.laneCount == 0
      && sequence * shape.keyCapacity + wholeTiles <= matrix.rows
    {
      return TileColumns(base: start(Scalar.self, ofKey: 0, in: matrix), step: matrix.stride)
    }
    for key in 0..<keyCount {
      let source = start(Scalar.self, ofKey: key, in: matrix)
      forLanes(Scalar.self, headWidth) { c, n in source.lanes(c, n).store(to: copy[key, c]) }
    }
    copy[keyCount, 0].update(repeating: 0, count: (wholeTiles - keyCount) * copy.step)
    return copy
  }
}

/// `count` rounded up to whole vectors.
@inline(__always)
func wholeVectors<Scalar: KernelScalar>(_ type: Scalar.Type, _ count: Int) -> Int {
  (count &+ Scalar.laneCount &- 1) & ~(Scalar.laneCount &- 1)
}

/// Hands out parts of a worker's scratch memory, each with whole vectors.
struct ScratchCursor<Scalar: KernelScalar> {
  private var free: Pointer<Scalar>

  init(_ memory: UnsafeMutableRawPointer) {
    free = memory.assumingMemoryBound(to: Scalar.self)
  }

  @inline(__always)
  mutating func take(_ count: Int, step: Int) -> TileColumns<Scalar> {
    defer { free += count &* step }
    return TileColumns(base: free, step: step)
  }
}
