// Collectives against what each rank can compute alone; the same bodies in process and under MPI.

import Foundation
import Kernels
import Parallel
import Testing

@Suite struct CollectiveTests {
  @Test(arguments: Precision.allCases, [0, 1, 2, 7, 64, 1001, 70_003])
  func `a sum has the bits of an addition in rank order`(precision: Precision, count: Int) throws {
    try onRanks { world, checks in
      let array = OwnedArray(columns: count, precision: precision) {
        sample(rank: world.rank, index: $0)
      }
      world.sum(array.matrix)
      let expected = (0..<count).map {
        sampleSum(ranks: world.size, index: $0, precision: precision)
      }
      checks.expect(array.values == expected, "\(count) elements on \(world.size) ranks")
    }
  }

  @Test(arguments: [1, 64, 4096, 1 << 30])
  func `the bits of a sum do not depend on buckets or threads`(bucketBytes: Int) throws {
    try onRanks { world, checks in
      let count = 150_001
      let team = ThreadTeam(size: 1 + world.rank % 2)
      let array = OwnedArray(columns: count, precision: .float32) {
        sample(rank: world.rank, index: $0)
      }
      world.sum(array.matrix, bucketBytes: max(bucketBytes, count / 8), team: team)
      let wrong = (0..<count).first {
        array[$0] != sampleSum(ranks: world.size, index: $0, precision: .float32)
      }
      checks.equal(wrong, nil, "first wrong element")
    }
  }

  @Test(arguments: Precision.allCases)
  func `reduce-scatter and all-gather make up a sum`(precision: Precision) throws {
    try onRanks { world, checks in
      // Uneven rows, none on rank 1.
      let counts = (0..<world.size).map { $0 == 1 ? 0 : 3 + 2 * $0 }
      let rows = counts.reduce(0, +)
      let whole = OwnedArray(rows: rows, columns: 5, precision: precision) {
        sample(rank: world.rank, index: $0)
      }
      let own = OwnedArray(rows: counts[world.rank], columns: 5, precision: precision)
      world.reduceScatter(whole.matrix, counts: counts, into: own.matrix, bucketBytes: 32)
      let first = counts[..<world.rank].reduce(0, +) * 5
      checks.equal(
        own.values,
        own.values.indices.map {
          sampleSum(ranks: world.size, index: first + $0, precision: precision)
        }, "own rows")
      let gathered = OwnedArray(rows: rows, columns: 5, precision: precision)
      world.allGather(own.matrix, into: gathered.matrix, counts: counts)
      checks.equal(
        gathered.values,
        (0..<rows * 5).map { sampleSum(ranks: world.size, index: $0, precision: precision) },
        "all rows")
    }
  }

  @Test func `reduce-scatter can leave the sum in its place`() throws {
    try onRanks { world, checks in
      let counts = (0..<world.size).map { 40_000 + $0 }
      let whole = OwnedArray(rows: counts.reduce(0, +), columns: 1, precision: .float64) {
        sample(rank: world.rank, index: $0)
      }
      let first = counts[..<world.rank].reduce(0, +)
      world.reduceScatter(
        whole.matrix, counts: counts,
        into: whole.matrix.rows(first, count: counts[world.rank]))
      let wrong = (first..<first + counts[world.rank]).first {
        whole[$0] != sampleSum(ranks: world.size, index: $0, precision: .float64)
      }
      checks.equal(wrong, nil, "first wrong element")
    }
  }

  @Test(arguments: Precision.allCases)
  func `an exchange carries true counts there and back`(precision: Precision) throws {
    try onRanks { world, checks in
      func rows(from sender: Int, to receiver: Int) -> Int {
        (sender + receiver) % 3 == 0 ? 0 : 1 + sender * 2 + receiver
      }
      let sendCounts = (0..<world.size).map { rows(from: world.rank, to: $0) }
      let expectedCounts = (0..<world.size).map { rows(from: $0, to: world.rank) }
      let receiveCounts = world.exchange(sendCounts)
      checks.equal(receiveCounts, expectedCounts, "counts")
      let send = OwnedArray(rows: sendCounts.reduce(0, +), columns: 3, precision: precision) {
        sample(rank: world.rank, index: $0)
      }
      let received = OwnedArray(rows: expectedCounts.reduce(0, +), columns: 3, precision: precision)
      world.exchange(
        send.matrix, counts: sendCounts, into: received.matrix, counts: receiveCounts)
      var expected: [Double] = []
      for sender in 0..<world.size {
        let before = (0..<world.rank).reduce(0) { $0 + rows(from: sender, to: $1) } * 3
        for index in 0..<expectedCounts[sender] * 3 {
          let value = sample(rank: sender, index: before + index)
          expected.append(precision == .float32 ? Double(Float(value)) : value)
        }
      }
      checks.equal(received.values, expected, "rows")
      let back = OwnedArray(rows: send.matrix.rows, columns: 3, precision: precision)
      world.exchange(
        received.matrix, counts: receiveCounts, into: back.matrix, counts: sendCounts)
      checks.equal(back.values, send.values, "rows sent back")
    }
  }

  @Test func `a gather brings everyone's bytes to one rank`() throws {
    try onRanks { world, checks in
      let root = world.size / 2
      let counts = (0..<world.size).map { $0 * 5 % 7 }
      let own = [UInt8](repeating: UInt8(world.rank), count: counts[world.rank])
      var whole = [UInt8](repeating: 255, count: counts.reduce(0, +))
      own.withUnsafeBytes { own in
        whole.withUnsafeMutableBytes { whole in
          world.gather(
            own, into: world.rank == root ? whole.baseAddress ?? .init(bitPattern: 8) : nil,
            counts: counts, to: root)
        }
      }
      let expected = counts.enumerated().flatMap { [UInt8](repeating: UInt8($0), count: $1) }
      checks.equal(
        whole, world.rank == root ? expected : expected.map { _ in 255 }, "bytes on \(world.rank)")
    }
  }

  @Test func `small values are summed, compared and gathered`() throws {
    try onRanks { world, checks in
      let ranks = world.size
      checks.equal(
        world.sum([sample(rank: world.rank, index: 1), 1]),
        [sampleSum(ranks: ranks, index: 1, precision: .float64), Double(ranks)], "sum")
      checks.equal(world.sum([Int]()), [], "sum of nothing")
      checks.equal(world.sum([world.rank, -1]), [ranks * (ranks - 1) / 2, -ranks], "whole sum")
      checks.equal(world.maximum([Double(world.rank), -1]), [Double(ranks - 1), -1], "maximum")
      checks.expect(
        world.maximum([world.rank == 0 ? Double.nan : 7])[0].isNaN, "maximum hides a NaN")
      checks.equal(world.maximum(-world.rank), 0, "whole maximum")
      checks.equal(
        world.gather([UInt8](repeating: 7, count: world.rank)),
        (0..<ranks).map { [UInt8](repeating: 7, count: $0) }, "bytes")
      checks.equal(
        world.gather(["rank": world.rank]), (0..<ranks).map { ["rank": $0] }, "values")
      checks.equal(world.gather(Double.infinity), .init(repeating: .infinity, count: ranks), "∞")
    }
  }

  @Test func `parts of a group keep its order and do not mix`() throws {
    try onRanks { world, checks in
      let part = world.split(color: world.rank % 2, name: "half")
      let members = (0..<world.size).filter { $0 % 2 == world.rank % 2 }
      checks.equal(part.gather(world.rank), members, "members")
      checks.equal(part.rank, members.firstIndex(of: world.rank)!, "rank")
      checks.equal(part.sum(1 << world.rank), members.reduce(0) { $0 + 1 << $1 }, "sum")
      world.barrier()
    }
  }

  @Test func `bytes are counted as the formula has them`() throws {
    try onRanks { world, checks in
      let n = world.size
      let array = OwnedArray(columns: 240_000, precision: .float32)
      let before = world.accounting
      world.sum(array.matrix)
      let cost = (world.accounting - before)[.sum]
      checks.equal(cost.calls, 1, "calls")
      checks.equal(cost.bytes, 2 * (n - 1) * 240_000 * 4 / n, "bytes of a sum")
      checks.expect(n == 1 || cost.seconds > 0, "no time passed")
      let counts = [Int](repeating: 10, count: n)
      let part = OwnedArray(rows: 10 * n, columns: 6, precision: .float64)
      let received = OwnedArray(rows: 10 * n, columns: 6, precision: .float64)
      world.exchange(part.matrix, counts: counts, into: received.matrix, counts: counts)
      checks.equal(
        (world.accounting - before)[.exchange].bytes, (n - 1) * 10 * 6 * 8, "bytes of an exchange")
    }
  }
}
