// Collectives over arrays in memory: each beside its dual. Sums are added in rank order.

import Kernels

/// The part of `count` things that falls to `part` of `parts`: sizes differ by one at most, the
/// larger parts come first.
public func share(of count: Int, part: Int, of parts: Int) -> Range<Int> {
  let small = count / parts
  let larger = count % parts
  let start = part * small + min(part, larger)
  return start..<start + small + (part < larger ? 1 : 0)
}

extension Communicator {
  /// Temporary memory that a sum needs, whatever it sums; bits do not depend on it.
  public static let bucketBytes = 4 << 20
  /// Up to this many bytes over all ranks a sum gathers all and adds: one exchange, not two.
  private static let smallBytes = 64 << 10

  /// Replaces `array` by its sum over ranks, everywhere the same bits. Its own dual.
  ///
  /// Slices are exchanged, added in rank order, and gathered: 2(n − 1)/n of the array is sent.
  public func sum(
    _ array: Matrix, bucketBytes: Int = bucketBytes, team: ThreadTeam? = nil,
    file: StaticString = #fileID, line: UInt32 = #line
  ) {
    requireContiguous(array)
    let site = CallSite(file: file, line: line)
    let bytes = array.count * array.precision.bytes
    guard bytes * size > Self.smallBytes else {
      meet(.sum, bytes: bytes * (size - 1), on: CollectiveTerms(array), at: site) {
        sumSmall(array)
      }
      return
    }
    let slices = (0..<size).map { share(of: array.count, part: $0, of: size) }
    let mine = slices[rank].count * array.precision.bytes
    meet(.sum, bytes: bytes - mine + mine * (size - 1), on: CollectiveTerms(array), at: site) {
      reduce(
        array, slices: slices, into: part(array, slices[rank]), bucketBytes: bucketBytes, team: team
      )
      gather(array, slices: slices)
    }
  }

  /// Gives each rank its rows of the sum over ranks: `counts[r]` rows of `whole` to rank r.
  ///
  /// The dual of `allGather`. `own` may be the own rows of `whole`; `whole` keeps the rest.
  public func reduceScatter(
    _ whole: Matrix, counts: [Int], into own: Matrix, bucketBytes: Int = bucketBytes,
    team: ThreadTeam? = nil, file: StaticString = #fileID, line: UInt32 = #line
  ) {
    let slices = elementSlices(of: whole, counts: counts, own: own)
    if size == 1 { copyBytes(of: part(whole, slices[0]), to: own) }
    meet(
      .reduceScatter, bytes: (whole.count - own.count) * whole.precision.bytes,
      on: CollectiveTerms(whole, cut: counts), at: CallSite(file: file, line: line)
    ) {
      reduce(whole, slices: slices, into: own, bucketBytes: bucketBytes, team: team)
    }
  }

  /// Gives every rank all rows: `counts[r]` of them come from rank r.
  ///
  /// The dual of `reduceScatter`. `own` may be the own rows of `whole`.
  public func allGather(
    _ own: Matrix, into whole: Matrix, counts: [Int], file: StaticString = #fileID,
    line: UInt32 = #line
  ) {
    let slices = elementSlices(of: whole, counts: counts, own: own)
    copyBytes(of: own, to: part(whole, slices[rank]))
    meet(
      .allGather, bytes: own.count * (size - 1) * own.precision.bytes,
      on: CollectiveTerms(whole, cut: counts), at: CallSite(file: file, line: line)
    ) {
      gather(whole, slices: slices)
    }
  }

  /// Sends `sendCounts[r]` rows to rank r and receives `receiveCounts[r]` from it, in rank order.
  ///
  /// The dual is the same with the two sides exchanged.
  public func exchange(
    _ send: Matrix, counts sendCounts: [Int], into receive: Matrix, counts receiveCounts: [Int],
    file: StaticString = #fileID, line: UInt32 = #line
  ) {
    requireRows(send, sendCounts, receive, receiveCounts)
    let rowBytes = send.columns * send.precision.bytes
    exchange(
      UnsafeRawPointer(send.base), counts: sendCounts.map { $0 * rowBytes },
      into: receive.base, counts: receiveCounts.map { $0 * rowBytes },
      file: file, line: line)
  }

  func requireRows(
    _ send: Matrix, _ sendCounts: [Int], _ receive: Matrix, _ receiveCounts: [Int]
  ) {
    require(
      send.columns == receive.columns && send.precision == receive.precision,
      "\(send.columns) \(send.precision) columns into \(receive.columns) \(receive.precision)")
    require(
      send.rows == sendCounts.reduce(0, +) && receive.rows == receiveCounts.reduce(0, +),
      "\(send.rows) rows for counts \(sendCounts), \(receive.rows) for \(receiveCounts)")
    requireContiguous(send)
    requireContiguous(receive)
  }

  /// Gives rank `root` everyone's bytes one after another, `counts[r]` of rank r; `whole` is read
  /// nowhere else and may be nil there.
  public func gather(
    _ own: UnsafeRawBufferPointer, into whole: UnsafeMutableRawPointer?, counts: [Int],
    to root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) {
    require(own.count == counts[rank], "\(own.count) bytes, counts \(counts) on rank \(rank)")
    require(rank != root || whole != nil, "rank \(root) gathers into nothing")
    let nothing = [Int](repeating: 0, count: size)
    var send = nothing
    send[root] = own.count
    exchange(
      own.baseAddress ?? UnsafeRawPointer(noMemory), counts: send,
      into: whole ?? noMemory, counts: rank == root ? counts : nothing,
      file: file, line: line)
  }

  // MARK: - Slices

  /// own = Σ_r (slice `rank` of rank r's array), in rank order, by buckets.
  private func reduce(
    _ array: Matrix, slices: [Range<Int>], into own: Matrix, bucketBytes: Int, team: ThreadTeam?
  ) {
    requireContiguous(own)
    let width = array.precision.bytes
    let longest = slices.map(\.count).max() ?? 0
    let bucket = max(1, min(bucketBytes / width / size, longest))
    let staging = staging.shared(bytes: bucket * size * width)
    for start in stride(from: 0, to: longest, by: bucket) {
      // Part of every rank's slice that this bucket holds; short slices may be through.
      let parts = slices.map { slice in
        let first = min(slice.lowerBound + start, slice.upperBound)
        return first..<min(first + bucket, slice.upperBound)
      }
      var sendCounts = parts.map { $0.count * width }
      sendCounts[rank] = 0
      let mine = parts[rank]
      var receiveCounts = [Int](repeating: mine.count * width, count: size)
      receiveCounts[rank] = 0
      transport.allToAll(
        array.base, counts: sendCounts, offsets: parts.map { $0.lowerBound * width },
        into: staging, counts: receiveCounts)
      addInRankOrder(array, mine, received: staging, into: part(own, start, mine.count), team: team)
    }
  }

  /// target = Σ_r (rank r's elements `mine`): this rank's are in `array`, those of the others lie one
  /// after another in `received`.
  func addInRankOrder(
    _ array: Matrix, _ mine: Range<Int>, received: UnsafeMutableRawPointer, into target: Matrix,
    team: ThreadTeam?
  ) {
    let bytes = mine.count * array.precision.bytes
    let sources = (0..<size).map { source in
      source == rank
        ? part(array, mine)
        : Matrix(
          received + (source < rank ? source : source - 1) * bytes, rows: 1, columns: mine.count,
          precision: array.precision)
    }
    sumInOrder(sources, into: target, team: team)
  }

  private func gather(_ array: Matrix, slices: [Range<Int>]) {
    let bytes = array.precision.bytes
    transport.allGather(array.base, counts: slices.map { $0.count * bytes })
  }

  /// All arrays are gathered and added by every rank: one exchange where slices take two.
  private func sumSmall(_ array: Matrix) {
    let bytes = array.count * array.precision.bytes
    let staging = staging.shared(bytes: bytes * size)
    if bytes > 0 { (staging + rank * bytes).copyMemory(from: array.base, byteCount: bytes) }
    transport.allGather(staging, counts: [Int](repeating: bytes, count: size))
    let sources = (0..<size).map {
      Matrix(staging + $0 * bytes, rows: 1, columns: array.count, precision: array.precision)
    }
    sumInOrder(sources, into: part(array, 0, array.count), team: nil)
  }

  func copyBytes(of source: Matrix, to target: Matrix) {
    requireContiguous(source)
    if source.base != target.base && source.count > 0 {
      target.base.copyMemory(from: source.base, byteCount: source.count * source.precision.bytes)
    }
  }

  func elementSlices(of whole: Matrix, counts: [Int], own: Matrix) -> [Range<Int>] {
    require(counts.count == size, "\(counts.count) counts for \(size) ranks")
    require(
      counts.reduce(0, +) == whole.rows && counts[rank] == own.rows
        && whole.columns == own.columns && whole.precision == own.precision,
      """
      counts \(counts) of \(whole.rows) × \(whole.columns) \(whole.precision) on rank \(rank), \
      own \(own.rows) × \(own.columns) \(own.precision)
      """)
    return zip(counts.offsets, counts).map {
      $0 * whole.columns..<($0 + $1) * whole.columns
    }
  }

  private func part(_ array: Matrix, _ first: Int, _ count: Int) -> Matrix {
    part(array, first..<first + count)
  }

  func part(_ array: Matrix, _ elements: Range<Int>) -> Matrix {
    requireContiguous(array)
    return Matrix(
      array.base + elements.lowerBound * array.precision.bytes, rows: 1, columns: elements.count,
      precision: array.precision)
  }

  private func requireContiguous(_ array: Matrix) {
    require(array.isContiguous, "\(array.columns) columns \(array.stride) apart cannot travel")
  }
}
