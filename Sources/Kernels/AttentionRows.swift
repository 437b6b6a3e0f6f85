// The work of one attention task: the queries of one sequence for all heads that share a key/value
// head, in blocks of rows, and how these come from matrices and go into them.

/// The rows of a task in matrices shaped like q and k; AttentionVectors.swift says which rows stand
/// in which lanes.
struct AttentionRows {
  let sequence, keyValueHead: Int
  // Of the shape what the rows need: a copy of it would count references to its arrays for every head.
  let heads, group, headWidth: Int
  private let queryLength, keyCapacity: Int
  /// Keys of the sequence that exist.
  let keyCount: Int
  let scale: Double

  init(sequence: Int, keyValueHead: Int, _ shape: AttentionShape) {
    self.sequence = sequence
    self.keyValueHead = keyValueHead
    heads = shape.heads
    group = shape.group
    headWidth = shape.headWidth
    queryLength = shape.queryLength
    keyCapacity = shape.keyCapacity
    keyCount = shape.keyLength(of: sequence)
    scale = shape.scale
  }

  /// Whether so many rows of a matrix shaped like k can be read from a key on.
  @inline(__always)
  func canRead(_ count: Int, fromKey key: Int, of matrix: Matrix) -> Bool {
    sequence &* keyCapacity &+ key &+ count <= matrix.rows
  }

  /// Calls `body(i, start)` with the start of the row in lane i in a matrix shaped like q.
  @inline(__always)
  func forEach<Scalar>(
    _ vector: UnsafeMutablePointer<RowVector<Scalar>>, of matrix: Matrix,
    _ body: (_ i: Int, _ start: Pointer<Scalar>) -> Void
  ) {
    let v = vector.pointee
    var member = v.member
    var start =
      matrix.row(Scalar.self, sequence &* queryLength &+ v.query)
      + (keyValueHead &* group &+ member) &* headWidth
    let next = matrix.stride &- (group &- 1) &* headWidth
    var i = 0
    while i < v.count {
      body(i, start)
      i &+= 1
      member &+= 1
      start += member == group ? next : headWidth
      if member == group { member = 0 }
    }
  }

  /// Calls `body(i, place)` with the place in logSumExp of the row in lane i.
  @inline(__always)
  func forEachLogSum<Scalar>(
    _ vector: UnsafeMutablePointer<RowVector<Scalar>>, of matrix: Matrix,
    _ body: (_ i: Int, _ place: Pointer<Scalar>) -> Void
  ) {
    let v = vector.pointee
    var member = v.member
    var place = matrix.row(Scalar.self, sequence &* heads &+ keyValueHead &* group &+ member)
    place += v.query
    let next = 1 &- (group &- 1) &* matrix.stride
    var i = 0
    while i < v.count {
      body(i, place)
      i &+= 1
      member &+= 1
      place += member == group ? next : matrix.stride
      if member == group { member = 0 }
    }
  }

  /// Calls `body(i, start)` for the one query of each head, of `members` of those that share keys.
  @inline(__always)
  func forEach<Scalar>(
    _ type: Scalar.Type, _ members: Range<Int>, of matrix: Matrix,
    _ body: (_ i: Int, _ start: Pointer<Scalar>) -> Void
  ) {
    let first = matrix.row(type, sequence) + keyValueHead &* group &* headWidth
    for member in members { body(member &- members.lowerBound, first + member &* headWidth) }
  }

  /// Calls `body(i, place)` with the places in logSumExp of the one query of each head.
  @inline(__always)
  func forEachLogSum<Scalar>(
    _ type: Scalar.Type, _ members: Range<Int>, of matrix: Matrix,
    _ body: (_ i: Int, _ place: Pointer<Scalar>) -> Void
  ) {
    for member in members {
      body(
        member &- members.lowerBound,
        matrix.row(type, sequence &* heads &+ keyValueHead &* group &+ member))
    }
  }

  /// The start of key j in a matrix shaped like k.
  @inline(__always)
  func start<Scalar>(_ type: Scalar.Type, ofKey key: Int, in matrix: Matrix) -> Pointer<Scalar> {
    matrix.row(type, sequence * keyCapacity + key) + keyValueHead * headWidth
  }

  // What follows is not inlined: loops as short as these want all registers.

  /// target[lane] = scale · the lane's row in a matrix shaped like q, zeros in empty lanes and up to
  /// whole vectors; across = targetᵀ.
  @inline(never)
  func pack<Scalar>(
    _ matrix: Matrix, _ block: RowBlock<Scalar>, scale: Double, into target: TileColumns<Scalar>,
    across: TileColumns<Scalar>
  ) {
    let factor = Scalar.Lanes(Scalar(scale))
    for vector in 0..<block.count {
      let lane = vector &* Scalar.laneCount
      let count = block.vectors[vector].count
      forLanes(Scalar.self, headWidth) { c, n in
        forEach(block.vectors + vector, of: matrix) { i, start in
          (start.lanes(c, n) * factor).store(to: target[lane &+ i, c])
        }
        for i in count..<Scalar.laneCount { Scalar.Lanes.zero.store(to: target[lane &+ i, c]) }
      }
      transpose(
        target[lane, 0], target.step, rows: Scalar.laneCount, columns: headWidth,
        into: across[0, lane], across.step)
    }
  }

  /// The lane's row in a matrix shaped like q = source[lane] · factors[lane].
  @inline(never)
  func unpack<Scalar>(
    _ source: TileColumns<Scalar>, factors: Pointer<Scalar>, _ block: RowBlock<Scalar>,
    into matrix: Matrix
  ) {
    for vector in 0..<block.count {
      let lane = vector &* Scalar.laneCount
      forLanes(Scalar.self, headWidth) { c, n in
        forEach(block.vectors + vector, of: matrix) { i, start in
          let factor = Scalar.Lanes(factors[lane &+ i])
          start.set(c, n, source[lane &+ i, c].lanes(0, n) * factor)
        }
      }
    }
  }

  /// dots[lane] = source[lane] · the lane's row in a matrix shaped like q; of the two memories one
  /// has a row a lane, the other a lane a column.
  @inline(never)
  func dot<Scalar>(
    _ source: TileColumns<Scalar>, _ matrix: Matrix, _ block: RowBlock<Scalar>,
    memory: TileColumns<Scalar>, across: TileColumns<Scalar>, into dots: Pointer<Scalar>
  ) {
    let lanes = Scalar.laneCount
    for vector in 0..<block.count {
      let lane = vector &* lanes
      forLanes(Scalar.self, headWidth) { c, n in
        forEach(block.vectors + vector, of: matrix) { i, start in
          let products = memory[lane &+ i, 0]
          let sum = c == 0 ? .zero : Scalar.Lanes(products)
          sum.adding(start.lanes(c, n), times: source[lane &+ i, c].lanes(0, n)).store(to: products)
        }
      }
      transpose(
        memory[lane, 0], memory.step, rows: lanes, columns: lanes, into: across.base, across.step)
      var sums = Scalar.Lanes(across.base)
      for column in 1..<lanes { sums = sums + Scalar.Lanes(across[column, 0]) }
      sums.store(to: dots + lane)
    }
  }

  /// All keys (or values) with whole vectors in each row and room for whole tiles of rows.
  ///
  /// Copied, so that they lie close together, unless few rows see them or each row few of them, and
  /// they can be read in place; what then stands behind the last key is not looked at by any row.
  @inline(never)
  func keys<Scalar: KernelScalar>(
    _ matrix: Matrix, copy: TileColumns<Scalar>, for rows: RowBlock<Scalar>
  ) -> TileColumns<Scalar> {
    let few = rows.lanes < 32 && canRead(keyCount + tileRows, fromKey: 0, of: matrix)
    if headWidth % Scalar.laneCount == 0 && (few || rows.most(4) + tileRows <= keyCount) {
      return TileColumns(base: start(Scalar.self, ofKey: 0, in: matrix), step: matrix.stride)
    }
    forLanes(Scalar.self, headWidth) { c, n in
      var source = start(Scalar.self, ofKey: 0, in: matrix)
      for key in 0..<keyCount {
        source.lanes(c, n).store(to: copy[key, c])
        source += matrix.stride
      }
    }
    copy[keyCount, 0].update(repeating: 0, count: (tileRoom(keyCount) - keyCount) * copy.step)
    return copy
  }

  /// The rows of keys that exist in a matrix shaped like k = source · factor, the others zeros.
  @inline(never)
  func unpackKeys<Scalar: KernelScalar>(
    _ source: TileColumns<Scalar>, factor: Scalar, into matrix: Matrix
  ) {
    let factor = Scalar.Lanes(factor)
    forLanes(Scalar.self, headWidth) { c, n in
      var target = start(Scalar.self, ofKey: 0, in: matrix)
      for key in 0..<keyCount {
        target.set(c, n, source[key, c].lanes(0, n) * factor)
        target += matrix.stride
      }
      for _ in keyCount..<keyCapacity {
        target.set(c, n, .zero)
        target += matrix.stride
      }
    }
  }
}

/// Room for so many keys in tiles of eight, wherever the first tile begins.
func tileRoom(_ keys: Int) -> Int { (keys + 2 * tileRows - 1) & ~(tileRows - 1) }

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
