// How attention's rows are laid into vectors: found once a call, for all heads.
//
// Row r of a sequence is query r / group of head r % group among those that share keys: neighbouring
// rows see nearly the same keys. Rows of a packed example see no others' keys; so an example that
// fits into one vector is not cut, and where it does not fit into the rest of one, lanes stay empty.

/// The vectors of all sequences of a call.
struct RowVectors<Scalar: KernelScalar> {
  private let limits: Pointer<Scalar>
  private let counts: UnsafeMutablePointer<Int>
  private let vectors: UnsafeMutablePointer<RowVector<Scalar>>
  private let spans: UnsafeMutablePointer<Range<Int>>
  private let perSequence: Int

  /// Room for the vectors of a sequence: of two neighbours, the rows fill more than one.
  static func perSequence(_ shape: AttentionShape) -> Int {
    2 * shape.queryLength * shape.group / Scalar.laneCount + 2
  }

  /// Memory for the vectors of a call, in whole cache lines.
  static func bytes(_ shape: AttentionShape) -> Int {
    shape.sequences * perSequence(shape) * MemoryLayout<RowVector<Scalar>>.stride + limitBytes
      + (shape.queryLength * MemoryLayout<Range<Int>>.stride
        + shape.sequences * MemoryLayout<Int>.stride + 63) & ~63
  }

  /// For the limits of one vector.
  private static var limitBytes: Int { 2 * MemoryLayout<Scalar.Lanes>.stride }

  /// Lays the rows of all sequences into vectors; `memory` holds them.
  init(_ shape: AttentionShape, memory: UnsafeMutableRawPointer) {
    perSequence = Self.perSequence(shape)
    vectors = memory.assumingMemoryBound(to: RowVector<Scalar>.self)
    let behind = UnsafeMutableRawPointer(vectors + shape.sequences * perSequence)
    limits = behind.assumingMemoryBound(to: Scalar.self)
    spans = (behind + Self.limitBytes).assumingMemoryBound(to: Range<Int>.self)
    counts = UnsafeMutableRawPointer(spans + shape.queryLength).assumingMemoryBound(to: Int.self)
    for sequence in 0..<shape.sequences { fill(sequence, shape) }
  }

  /// Vectors first ..< first + count of a sequence, or those of them that there are.
  @inline(__always)
  func block(_ sequence: Int, first: Int, count: Int) -> RowBlock<Scalar> {
    RowBlock(
      vectors: vectors + (sequence &* perSequence &+ first),
      count: max(0, min(count, counts[sequence] &- first)))
  }

  /// The vectors of the sequence that has most.
  func most(_ shape: AttentionShape) -> Int {
    (0..<shape.sequences).reduce(0) { max($0, counts[$1]) }
  }

  private func fill(_ sequence: Int, _ shape: AttentionShape) {
    let lanes = Scalar.laneCount
    let own = vectors + sequence * perSequence
    for query in 0..<shape.queryLength {
      spans[query] = shape.visibleKeys(sequence, query: query)
    }
    var count = 0
    var lane = 0
    // The end of the keys that the queries so far see.
    var reach = 0
    var query = 0
    while query < shape.queryLength {
      // An example ends before a query that sees none of these keys.
      var end = query
      repeat {
        reach = max(reach, spans[end].upperBound)
        end += 1
      } while end < shape.queryLength && spans[end].lowerBound < reach
      let rows = (end - query) * shape.group
      if lane > 0 && rows <= lanes && lane + rows > lanes {
        finish(own + (count - 1), lane)
        lane = 0
      }
      for query in query..<end {
        for member in 0..<shape.group {
          if lane == 0 {
            (own + count).initialize(to: RowVector(query: query, member: member))
            count += 1
          }
          limits[lane] = Scalar(spans[query].lowerBound)
          limits[lane + lanes] = Scalar(spans[query].upperBound)
          lane += 1
          if lane == lanes {
            finish(own + (count - 1), lane)
            lane = 0
          }
        }
      }
      query = end
    }
    if lane > 0 { finish(own + (count - 1), lane) }
    counts[sequence] = count
  }

  /// Gives a vector its limits.
  private func finish(_ vector: UnsafeMutablePointer<RowVector<Scalar>>, _ count: Int) {
    let lanes = Scalar.laneCount
    vector.pointee.count = count
    vector.pointee.before = Scalar.Lanes(limits, first: count) - Scalar.Lanes(1)
    vector.pointee.behind = Scalar.Lanes(limits + lanes, first: count)
    vector.pointee.eights.0 = visible(0..<min(count, tileRows))
    if count > tileRows { vector.pointee.eights.1 = visible(tileRows..<count) }
    vector.pointee.keys =
      lanes == tileRows
      ? vector.pointee.eights.0 : vector.pointee.eights.0.joined(vector.pointee.eights.1)
  }

  /// The keys that rows in some of eight lanes see.
  private func visible(_ rows: Range<Int>) -> VisibleKeys {
    var (first, end) = (Scalar.infinity, Scalar(0))
    var (last, least) = (Scalar(0), Scalar.infinity)
    for lane in rows {
      let (low, high) = (limits[lane], limits[lane + Scalar.laneCount])
      first = low < first && low < high ? low : first
      end = low < high && high > end ? high : end
      last = low > last ? low : last
      least = high < least ? high : least
    }
    guard first < end else { return VisibleKeys() }
    var keys = VisibleKeys(any: Int(first.asDouble)..<Int(end.asDouble))
    // An empty lane sees nothing.
    if rows.count == tileRows && last < least {
      keys.all = Int(last.asDouble)..<Int(least.asDouble)
    }
    return keys
  }
}
