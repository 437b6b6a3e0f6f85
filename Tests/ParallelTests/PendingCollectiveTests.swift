// Collectives under way, against what each rank can compute alone; in process and under MPI.

import Kernels
import Parallel
import Testing

/// A sum over ranks as training makes it up: a reduce-scatter under way, then an all-gather.
private final class Sum {
  private let group: Communicator
  private let whole, own: Matrix
  private let counts: [Int]
  private let scatter: PendingReduceScatter
  private var gather: PendingAllGather?

  init(of array: Matrix, over group: Communicator, team: ThreadTeam? = nil) {
    self.group = group
    counts = (0..<group.size).map { share(of: array.count, part: $0, of: group.size).count }
    whole = Matrix(array.base, rows: array.count, columns: 1, precision: array.precision)
    own = whole.rows(counts[..<group.rank].reduce(0, +), count: counts[group.rank])
    scatter = group.startReduceScatter(whole, counts: counts, into: own, team: team)
  }

  /// Brings on what has started.
  func poll() -> Bool { gather?.poll() ?? scatter.poll() }

  /// Every rank calls it for its sums in the same order.
  func startGather() {
    scatter.wait()
    gather = group.startAllGather(own, into: whole, counts: counts)
  }

  func wait() {
    if gather == nil { startGather() }
    gather!.wait()
  }
}

@Suite struct PendingCollectiveTests {
  private static let counts = [0, 1, 7, 1001, 70_003, 5]

  private static func arrays(_ world: Communicator, _ precision: Precision) -> [OwnedArray] {
    counts.enumerated().map { number, count in
      OwnedArray(columns: count, precision: precision) {
        sample(rank: world.rank, index: 100_000 * number + $0)
      }
    }
  }

  private static func check(
    _ arrays: [OwnedArray], _ ranks: Int, _ checks: RankChecks, _ what: String
  ) {
    for (number, array) in arrays.enumerated() {
      let wrong = (0..<array.matrix.count).first {
        array[$0]
          != sampleSum(
            ranks: ranks, index: 100_000 * number + $0, precision: array.matrix.precision)
      }
      checks.equal(wrong, nil, "\(what), array \(number): first wrong element")
    }
  }

  @Test(arguments: Precision.allCases)
  func `sums under way together have the bits of sums one by one`(precision: Precision) throws {
    try onRanks { world, checks in
      let team = ThreadTeam(size: 1 + world.rank % 2)
      let arrays = Self.arrays(world, precision)
      let sums = arrays.map { Sum(of: $0.matrix, over: world, team: team) }
      for sum in sums { sum.wait() }
      Self.check(arrays, world.size, checks, "waited for")
      checks.expect(sums.allSatisfy { $0.poll() }, "over, and yet not")
    }
  }

  @Test func `each rank polls as it likes, and meets other collectives meanwhile`() throws {
    try onRanks { world, checks in
      let half = world.split(color: world.rank % 2, name: "half")
      let arrays = Self.arrays(world, .float32)
      let sums = arrays.map { Sum(of: $0.matrix, over: world) }
      let other = OwnedArray(columns: 30_000, precision: .float64) {
        sample(rank: world.rank, index: $0)
      }
      let part = Sum(of: other.matrix, over: half)
      for turn in 0..<20 {
        for poll in 0..<(7 * world.rank + turn) % 11 { _ = sums[poll % sums.count].poll() }
        if turn % 3 == world.rank % 3 { _ = part.poll() }
        checks.equal(world.sum(turn), world.size * turn, "a sum meanwhile")
        checks.equal(half.maximum(half.rank), half.size - 1, "a maximum meanwhile")
      }
      for sum in sums { sum.wait() }
      part.wait()
      Self.check(arrays, world.size, checks, "polled")
      let members = half.members
      checks.equal(members.firstIndex(of: world.rank), half.rank, "place among the members")
      let wrong = (0..<30_000).first { index in
        other[index]
          != members.dropFirst().reduce(sample(rank: members[0], index: index)) {
            $0 + sample(rank: $1, index: index)
          }
      }
      checks.equal(wrong, nil, "first wrong element of the half's sum")
    }
  }

  @Test func `what is polled alone gets there`() throws {
    try onRanks { world, checks in
      let arrays = Self.arrays(world, .float64)
      let sums = arrays.map { Sum(of: $0.matrix, over: world) }
      var polls = 0
      while !sums.map({ $0.poll() }).allSatisfy({ $0 }) { polls += 1 }
      for sum in sums { sum.startGather() }
      while !sums.map({ $0.poll() }).allSatisfy({ $0 }) { polls += 1 }
      Self.check(arrays, world.size, checks, "after \(polls) polls")
    }
  }

  @Test(arguments: Precision.allCases)
  func `reduce-scatter and all-gather under way make up a sum`(precision: Precision) throws {
    try onRanks { world, checks in
      // Uneven rows, none on rank 1.
      let counts = (0..<world.size).map { $0 == 1 ? 0 : 300 + 2 * $0 }
      let rows = counts.reduce(0, +)
      let wholes = (0..<3).map { number in
        OwnedArray(rows: rows, columns: 5, precision: precision) {
          sample(rank: world.rank, index: 100_000 * number + $0)
        }
      }
      let owns = (0..<3).map { _ in
        OwnedArray(rows: counts[world.rank], columns: 5, precision: precision)
      }
      let scatters = zip(wholes, owns).map {
        world.startReduceScatter($0.matrix, counts: counts, into: $1.matrix)
      }
      for scatter in scatters { scatter.wait() }
      // The collectives borrowed this memory.
      withExtendedLifetime(wholes) {}
      let first = counts[..<world.rank].reduce(0, +) * 5
      for (number, own) in owns.enumerated() {
        checks.equal(
          own.values,
          own.values.indices.map {
            sampleSum(
              ranks: world.size, index: 100_000 * number + first + $0, precision: precision)
          }, "own rows of \(number)")
      }
      let gathered = (0..<3).map { _ in OwnedArray(rows: rows, columns: 5, precision: precision) }
      let gathers = zip(owns, gathered).map {
        world.startAllGather($0.matrix, into: $1.matrix, counts: counts)
      }
      while !gathers[1].poll() {}
      for gather in gathers { gather.wait() }
      Self.check(gathered, world.size, checks, "gathered")
    }
  }

  @Test func `what is under way is counted as what it replaces`() throws {
    try onRanks { world, checks in
      let array = OwnedArray(columns: 240_000, precision: .float32)
      let before = world.accounting
      world.sum(array.matrix)
      let blocking = (world.accounting - before).total
      let middle = world.accounting
      withExtendedLifetime(array) { Sum(of: array.matrix, over: world).wait() }
      let pending = world.accounting - middle
      checks.equal(pending.total.bytes, blocking.bytes, "bytes")
      checks.equal(pending[.reduceScatter].calls, 1, "reduce-scatters")
      checks.equal(pending[.allGather].calls, 1, "all-gathers")
    }
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `what is under way and never met by a rank ends the run`() {
    let error = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(3) { world in
        let array = OwnedArray(columns: 100, precision: .float32)
        guard world.rank != 2 else { return }
        withExtendedLifetime(array) { Sum(of: array.matrix, over: world).wait() }
      }
    }
    #expect(error?.description.contains("no rank can go on") == true)
    let mismatch = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(2, isChecked: true) { world in
        let array = OwnedArray(columns: 100 + world.rank, precision: .float32)
        withExtendedLifetime(array) { Sum(of: array.matrix, over: world).wait() }
      }
    }
    #expect(mismatch?.description.contains("reduceScatter of 101 float32") == true)
  }
}
