// Which keys the rows of an attention block see, row by row and for vectors of rows at once.

/// The limits of a block of rows, one row a lane: row i sees keys low[i] ..< high[i].
struct AttentionLimits<Scalar: KernelScalar> {
  private let rows: AttentionRows
  private let block: Range<Int>
  private let low, high: Pointer<Scalar>

  /// Rows in the block.
  var count: Int { block.count }

  /// `memory` holds two numbers for each of `capacity` rows; rows behind the block see nothing.
  @inline(__always)
  init(_ rows: AttentionRows, _ block: Range<Int>, capacity: Int, memory: TileColumns<Scalar>) {
    self.rows = rows
    self.block = block
    low = memory[0, 0]
    high = memory[1, 0]
    for i in block.count..<capacity {
      low[i] = 0
      high[i] = 0
    }
    let (low, high) = (low, high)
    rows.forEach(block) { i, query, _ in
      let keys = rows.shape.visibleKeys(rows.sequence, query: query)
      low[i] = Scalar(keys.lowerBound)
      high[i] = Scalar(keys.upperBound)
    }
  }

  /// The keys that any of rows first ..< first + count of the block sees, and within them those that
  /// all see.
  @inline(__always)
  func keys(_ first: Int, count: Int) -> (any: Range<Int>, all: Range<Int>) {
    let end = min(first &+ count, block.count)
    guard first < end else { return (0..<0, 0..<0) }
    // Later queries see more.
    let anyHigh = integer(high[end &- 1])
    let allHigh = end == first &+ count ? integer(high[first]) : 0
    var anyLow = integer(low[first])
    var allLow = anyLow
    if rows.shape.firstKey != nil {
      for i in first..<end {
        anyLow = min(anyLow, integer(low[i]))
        allLow = max(allLow, integer(low[i]))
      }
    }
    return (min(anyLow, anyHigh)..<anyHigh, min(allLow, allHigh)..<allHigh)
  }

  @inline(__always)
  private func integer(_ limit: Scalar) -> Int { Int(limit.asDouble) }

  /// The rows of the block that see one of these keys or stand between such rows.
  @inline(__always)
  func rows(seeing keys: Range<Int>) -> Range<Int> {
    var first: Int
    if rows.shape.queryPositions == nil {
      let query = keys.lowerBound - (rows.keyCount - rows.shape.queryLength)
      first = min(max(0, query &* rows.group &- block.lowerBound), block.count)
    } else {
      first = 0
      while first < block.count && integer(high[first]) <= keys.lowerBound { first &+= 1 }
    }
    var end = block.count
    if rows.shape.firstKey != nil {
      while end > first && integer(low[end &- 1]) >= keys.upperBound { end &-= 1 }
    }
    return first..<end
  }

  /// Lanes of rows from `first` on that see `key`, the others `hidden`.
  @inline(__always)
  func shown(_ x: Scalar.Lanes, _ first: Int, key: Int, else hidden: Scalar.Lanes) -> Scalar.Lanes {
    x.kept(where: Scalar.Lanes(high + first), exceeds: Scalar.Lanes(Scalar(key)), else: hidden)
      .kept(where: Scalar.Lanes(Scalar(key &+ 1)), exceeds: Scalar.Lanes(low + first), else: hidden)
  }

  /// Walks the keys that any row of a vector sees: `body(key, masked)`, with `masked` where some row
  /// does not.
  @inline(__always)
  func walk(
    _ keys: (any: Range<Int>, all: Range<Int>), _ body: (_ key: Int, _ masked: Bool) -> Void
  ) {
    let free = keys.all.clamped(to: keys.any)
    for key in keys.any.lowerBound..<free.lowerBound { body(key, true) }
    for key in free { body(key, false) }
    for key in free.upperBound..<keys.any.upperBound { body(key, true) }
  }
}

extension Range<Int> {
  /// The whole tiles of eight that these keys touch.
  @inline(__always)
  var wholeTiles: Range<Int> {
    let end = (upperBound &+ tileRows &- 1) & ~(tileRows &- 1)
    return (isEmpty ? end : lowerBound & ~(tileRows &- 1))..<end
  }
}

/// scores[key, row] of a block: keys · queriesᵀ, wherever a vector of rows sees one of eight keys.
@inline(__always)
func multiplyKeys<Scalar: KernelScalar>(
  _ keys: TileColumns<Scalar>, _ queriesAcross: TileColumns<Scalar>,
  into scores: TileColumns<Scalar>, from first: Int, _ columns: Range<Int>,
  _ limits: AttentionLimits<Scalar>, depth: Int
) {
  let lanes = Scalar.laneCount
  var row = 0
  while row < limits.count {
    // Two vectors of rows as far as both are needed, then the second alone.
    let width = row &+ lanes < limits.count ? 2 &* lanes : lanes
    let pair = limits.keys(row, count: 2 &* lanes).any.clamped(to: columns)
    let early = limits.keys(row, count: lanes).any.clamped(to: columns)
    var key = pair.wholeTiles.lowerBound
    while key < pair.upperBound {
      let narrow = key >= early.upperBound && width > lanes
      let skipped = narrow ? lanes : 0
      multiplyEightRows(
        TileRows(base: keys[key, 0], rowStep: keys.step, depthStep: 1),
        TileColumns(base: queriesAcross[0, row &+ skipped], step: queriesAcross.step),
        into: TileColumns(base: scores[key &- first, row &+ skipped], step: scores.step),
        depth: depth, columns: width &- skipped, accumulate: false)
      key &+= tileRows
    }
    row &+= 2 &* lanes
  }
}
