// Which keys a vector or a block of attention's rows sees, one row a lane.

/// The keys that any of some rows sees, and within them those that all see.
struct VisibleKeys {
  var any = 0..<0
  var all = 0..<0

  /// Of these rows and those of `other`.
  @inline(__always)
  func joined(_ other: VisibleKeys) -> VisibleKeys {
    let low = max(all.lowerBound, other.all.lowerBound)
    return VisibleKeys(
      any: any.hull(other.any),
      all: low..<max(low, min(all.upperBound, other.all.upperBound)))
  }

  /// `keys` in three parts: those that some row may not see, those that all see, and again the
  /// former. Loops over the parts want no closures: with them sums would stand in memory.
  @inline(__always)
  func part(_ index: Int, of keys: Range<Int>) -> Range<Int> {
    // Masking few keys takes less time than another loop, whose end comes unforeseen.
    let free = all.count < tileRows ? keys.upperBound..<keys.upperBound : all.clamped(to: keys)
    switch index {
    case 0: return keys.lowerBound..<free.lowerBound
    case 1: return free
    default: return free.upperBound..<keys.upperBound
    }
  }
}

/// Neighbouring rows of a sequence, one a lane from the first lane on.
struct RowVector<Scalar: KernelScalar> {
  /// Lane i sees the keys between before[i] and behind[i], an empty lane none.
  var before = Scalar.Lanes.zero
  var behind = Scalar.Lanes.zero
  /// Of the first row: its query, and which one it is of the heads that share keys.
  var query, member: Int
  /// Rows, in the first lanes.
  var count = 0
  var keys = VisibleKeys()
  /// Of the first and of the second eight lanes.
  var eights = (VisibleKeys(), VisibleKeys())
}

/// Neighbouring vectors of rows that are worked on together.
struct RowBlock<Scalar: KernelScalar> {
  let vectors: UnsafeMutablePointer<RowVector<Scalar>>
  let count: Int

  var lanes: Int { count &* Scalar.laneCount }

  /// The keys of the eight rows from a lane on.
  @inline(__always)
  func eight(_ lane: Int) -> VisibleKeys {
    let vector = vectors + lane / Scalar.laneCount
    return lane % Scalar.laneCount == 0 ? vector.pointee.eights.0 : vector.pointee.eights.1
  }

  /// The first vectors of these, at most `most`: a block ends before a vector that sees none of its
  /// keys.
  @inline(__always)
  func start(_ first: Int, most: Int) -> RowBlock {
    let own = vectors + first
    var (length, keys) = (1, own[0].keys.any)
    while length < most && first &+ length < count
      && (own[length].keys.any.overlaps(keys) || keys.isEmpty)
    {
      keys = keys.hull(own[length].keys.any)
      length &+= 1
    }
    return RowBlock(vectors: own, count: length)
  }

  /// At least as many keys as a block of so many vectors sees.
  func most(_ vectorsOfBlock: Int) -> Int {
    (0..<count).reduce(0) { max($0, vectors[$1].keys.any.count) } * vectorsOfBlock
  }

  /// Where the tiles of keys begin for these rows: none of them ends behind the last key, unless
  /// there are fewer keys than in the tiles.
  func firstKey(of keyCount: Int) -> Int {
    let keys = seen
    let room = (keys.count + tileRows - 1) & ~(tileRows - 1)
    return min(keys.lowerBound, max(0, keyCount - room))
  }

  /// The keys that any row sees.
  @inline(__always)
  var seen: Range<Int> {
    var keys = 0..<0
    for vector in 0..<count { keys = keys.hull(vectors[vector].keys.any) }
    return keys
  }

  /// scores[key, lane]: keys · queriesᵀ, wherever a vector of rows sees one of eight keys; row
  /// `first` of the keys is the first of the scores, and `columns` are the keys that are wanted.
  @inline(never)
  func multiply(
    _ keys: TileColumns<Scalar>, _ queriesAcross: TileColumns<Scalar>,
    into scores: TileColumns<Scalar>, from first: Int, _ columns: Range<Int>, depth: Int
  ) {
    let width = Scalar.laneCount
    for vector in stride(from: 0, to: count, by: 2) {
      // Two vectors of rows as far as both are needed, else one alone.
      let one = vectors[vector].keys.any.clamped(to: columns).tiles(from: first)
      let two =
        vector &+ 1 < count
        ? vectors[vector &+ 1].keys.any.clamped(to: columns).tiles(from: first) : 0..<0
      let both = one.hull(two)
      var key = both.lowerBound
      while key < both.upperBound {
        let (early, late) = (one.contains(key), two.contains(key))
        let next = key &+ tileRows
        if early || late {
          let lane = (early ? vector : vector &+ 1) &* width
          let left = TileRows(base: keys[key, 0], rowStep: keys.step, depthStep: 1)
          let right = TileColumns(base: queriesAcross[0, lane], step: queriesAcross.step)
          let target = TileColumns(base: scores[key &- first, lane], step: scores.step)
          if early != late && one.contains(next) == early && two.contains(next) == late {
            multiplySixteenRows(left, right, into: target, depth: depth)
            key = next
          } else {
            multiplyEightRows(
              left, right, into: target, depth: depth,
              columns: early && late ? 2 &* width : width, accumulate: false)
          }
        }
        key &+= tileRows
      }
    }
  }

  /// results[lane] = Σ weights[key, lane] · rows[key] over those of `columns` that one of eight rows
  /// sees, added to what is there if `accumulate`; row `first` of the keys is the first of the weights.
  @inline(never)
  func sumKeys(
    _ weights: TileColumns<Scalar>, from first: Int, _ columns: Range<Int>,
    _ rows: TileColumns<Scalar>, into results: TileColumns<Scalar>, width: Int, accumulate: Bool
  ) {
    var lane = 0
    while lane < lanes {
      let own = eight(lane).any.clamped(to: columns)
      multiplyEightRows(
        TileRows(base: weights[own.lowerBound &- first, lane], rowStep: 1, depthStep: weights.step),
        TileColumns(base: rows[own.lowerBound, 0], step: rows.step),
        into: TileColumns(base: results[lane, 0], step: results.step), depth: own.count,
        columns: width, accumulate: accumulate)
      lane &+= tileRows
    }
  }

  /// Adds Σ weights[key, lane] · rows[lane] over the rows that see one of eight keys to sums[key].
  @inline(never)
  func sumRows(
    _ one: RowSum<Scalar>, _ other: RowSum<Scalar>, from first: Int, _ columns: Range<Int>,
    width: Int
  ) {
    let end = lanes &- Scalar.laneCount &+ vectors[count &- 1].count
    var key = first
    while key < columns.upperBound {
      let tile = key..<key &+ tileRows
      var lane = 0
      while lane < end {
        // A run of neighbouring eights.
        let start = lane
        while lane < end && eight(lane).any.overlaps(tile) { lane &+= tileRows }
        if lane > start {
          let depth = min(lane, end) &- start
          one.add(key &- first, lane: start, depth, to: key, width: width)
          other.add(key &- first, lane: start, depth, to: key, width: width)
        }
        lane &+= tileRows
      }
      key &+= tileRows
    }
  }
}

/// What `sumRows` multiplies, and where it adds that.
struct RowSum<Scalar: KernelScalar> {
  let weights, rows, sums: TileColumns<Scalar>

  @inline(__always)
  fileprivate func add(_ first: Int, lane: Int, _ depth: Int, to key: Int, width: Int) {
    multiplyEightRows(
      TileRows(base: weights[first, lane], rowStep: weights.step, depthStep: 1),
      TileColumns(base: rows[lane, 0], step: rows.step),
      into: TileColumns(base: sums[key, 0], step: sums.step), depth: depth, columns: width,
      accumulate: true)
  }
}

extension Range<Int> {
  /// The least range that holds both; an empty one holds nothing.
  @inline(__always)
  func hull(_ other: Range<Int>) -> Range<Int> {
    if isEmpty { return other }
    if other.isEmpty { return self }
    return Swift.min(lowerBound, other.lowerBound)..<Swift.max(upperBound, other.upperBound)
  }

  /// The whole tiles of eight, counted from key `first`, that these keys touch.
  @inline(__always)
  func tiles(from first: Int) -> Range<Int> {
    if isEmpty { return first..<first }
    let end = (upperBound &- first &+ tileRows &- 1) & ~(tileRows &- 1)
    return first &+ ((lowerBound &- first) & ~(tileRows &- 1))..<first &+ end
  }
}
