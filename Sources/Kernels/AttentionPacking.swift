// How attention lays out its factors for tiles: the queries of one key/value head under each other,
// keys and values transposed.

/// The rows of one task: the queries of one sequence for all heads that share a key/value head.
///
/// Row r is query r / group of head r % group, so that neighbouring rows see nearly the same keys.
struct AttentionRows {
  let sequence, keyValueHead: Int
  let shape: AttentionShape
  let group: Int
  let headWidth: Int

  init(task: Int, _ shape: AttentionShape) {
    sequence = task / shape.keyValueHeads
    keyValueHead = task % shape.keyValueHeads
    self.shape = shape
    group = shape.group
    headWidth = shape.headWidth
  }

  var count: Int { shape.queryLength * group }
  var keyCount: Int { shape.keyLength(of: sequence) }

  /// The start of row r in a matrix shaped like q.
  @inline(__always)
  func start<Scalar>(_ type: Scalar.Type, of row: Int, in matrix: Matrix) -> Pointer<Scalar> {
    let query = row / group
    let head = keyValueHead &* group &+ row % group
    return matrix.row(type, sequence * shape.queryLength + query) + head &* headWidth
  }

  /// Row r's place in logSumExp.
  @inline(__always)
  func logSumExp<Scalar>(_ type: Scalar.Type, of row: Int, in matrix: Matrix) -> Pointer<Scalar> {
    let head = keyValueHead &* group &+ row % group
    return matrix.row(type, sequence * shape.heads + head) + row / group
  }

  /// The start of key j in a matrix shaped like k.
  @inline(__always)
  func start<Scalar>(_ type: Scalar.Type, ofKey key: Int, in matrix: Matrix) -> Pointer<Scalar> {
    matrix.row(type, sequence * shape.keyCapacity + key) + keyValueHead * headWidth
  }

  @inline(__always)
  func visibleKeys(_ row: Int) -> Range<Int> { shape.visibleKeys(sequence, query: row / group) }

  /// The keys that any of these rows sees.
  @inline(__always)
  func visibleKeys(_ rows: Range<Int>) -> Range<Int> {
    var low = Int.max
    var high = 0
    for query in rows.lowerBound / group...(rows.upperBound - 1) / group {
      let keys = shape.visibleKeys(sequence, query: query)
      if !keys.isEmpty {
        low = min(low, keys.lowerBound)
        high = max(high, keys.upperBound)
      }
    }
    return min(low, high)..<high
  }

  /// target[i] = scale · row rows[i] of a matrix shaped like q, zeros up to whole vectors and up to
  /// `capacity` rows.
  @inline(__always)
  func pack<Scalar: KernelScalar>(
    _ matrix: Matrix, _ rows: Range<Int>, scale: Scalar, into target: TileColumns<Scalar>,
    capacity: Int
  ) {
    let factor = Scalar.Lanes(scale)
    for (i, row) in rows.enumerated() {
      let source = start(Scalar.self, of: row, in: matrix)
      forLanes(Scalar.self, headWidth) { c, n in
        (source.lanes(c, n) * factor).store(to: target[i, c])
      }
    }
    if rows.count < capacity {
      target[rows.count, 0].update(repeating: 0, count: (capacity - rows.count) * target.step)
    }
  }

  /// All keys (or values) as columns: target[headWidth, keyCount], zeros up to whole vectors.
  @inline(__always)
  func packTransposed<Scalar: KernelScalar>(_ matrix: Matrix, into target: TileColumns<Scalar>) {
    let keys = keyCount
    transpose(
      start(Scalar.self, ofKey: 0, in: matrix), matrix.stride, rows: keys, columns: headWidth,
      into: target.base, target.step)
    guard keys < target.step else { return }
    for c in 0..<headWidth { target[c, keys].update(repeating: 0, count: target.step - keys) }
  }

  /// Keys (or values) with whole vectors in each row: in place where the head's width allows, else
  /// copied.
  @inline(__always)
  func wholeVectors<Scalar: KernelScalar>(
    _ matrix: Matrix, copy: TileColumns<Scalar>
  ) -> TileColumns<Scalar> {
    if headWidth % Scalar.laneCount == 0 {
      return TileColumns(base: start(Scalar.self, ofKey: 0, in: matrix), step: matrix.stride)
    }
    for key in 0..<keyCount {
      let source = start(Scalar.self, ofKey: key, in: matrix)
      forLanes(Scalar.self, headWidth) { c, n in source.lanes(c, n).store(to: copy[key, c]) }
    }
    return copy
  }
}

/// `count` rounded up to whole vectors.
@inline(__always)
func wholeVectors<Scalar: KernelScalar>(_ type: Scalar.Type, _ count: Int) -> Int {
  (count &+ Scalar.laneCount &- 1) & ~(Scalar.laneCount &- 1)
}
