// Checked ranks that meet different collectives are told which, and from which lines.

import Foundation
import Kernels
import Parallel
import Testing

@Suite(.enabled(if: launchedWorld == nil)) struct CheckedModeTests {
  /// What the run of `ranks` checked ranks ends with.
  private func failure(
    _ ranks: Int, _ body: @escaping @Sendable (Communicator) throws -> Void
  ) -> String {
    do { _ = try InProcessRanks.run(ranks, isChecked: true, body) } catch {
      return "\((error as? RankError)?.error ?? error)"
    }
    return "nothing"
  }

  private static func array(_ count: Int, _ precision: Precision = .float32) -> OwnedArray {
    OwnedArray(columns: count, precision: precision)
  }

  @Test func `right collectives pass, and have the same bits`() throws {
    for isChecked in [false, true] {
      let results = try InProcessRanks.run(3, isChecked: isChecked) { world in
        let part = world.split(color: world.rank % 2, name: "part")
        let array = OwnedArray(columns: 70_003, precision: .float32) {
          sample(rank: world.rank, index: $0)
        }
        world.sum(array.matrix)
        part.sum(array.matrix)
        world.barrier()
        let sums = world.sum([Double(world.rank)]) + [Double(world.maximum(world.rank))]
        let received = world.exchange([world.rank, 10 + world.rank, 20 + world.rank])
        let texts = world.gather("rank \(world.rank)")
        return array.values + sums + received.map(Double.init) + [Double(texts.count)]
      }
      let sums = (0..<70_003).map { sampleSum(ranks: 3, index: $0, precision: .float32) }
      for (rank, result) in results.enumerated() {
        #expect(Array(result.suffix(6)) == [3, 2] + (0..<3).map { Double(10 * rank + $0) } + [3])
        // Ranks 0 and 2 summed the sum once more; rank 1 had a part of its own.
        let times = rank == 1 ? 1.0 : 2.0
        #expect(Array(result.prefix(70_003)) == sums.map { times * $0 })
      }
    }
  }

  @Test func `different collectives are named with both lines`() {
    let line = #line
    let text = failure(3) { world in
      if world.rank == 1 {
        world.barrier()
      } else {
        _ = world.sum([1.0, 2.0])
      }
    }
    #expect(
      text == """
        mismatched collectives in group 'world': ranks 0, 2 came for sum of 2 float64 at \
        ParallelTests/CheckedModeTests.swift:\(line + 5) (call 1 of the group, step 0); \
        rank 1 came for barrier at ParallelTests/CheckedModeTests.swift:\(line + 3) \
        (call 1 of the group, step 0)
        """)
  }

  @Test func `different counts and element types are named`() {
    let counts = failure(2) { world in world.sum(Self.array(8 + world.rank).matrix) }
    #expect(counts.contains("rank 0 came for sum of 8 float32 at"))
    #expect(counts.contains("rank 1 came for sum of 9 float32 at"))
    let types = failure(2) { world in
      world.sum(Self.array(8, world.rank == 0 ? .float32 : .float64).matrix)
    }
    #expect(types.contains("sum of 8 float32 at") && types.contains("sum of 8 float64 at"))
    let cuts = failure(2) { world in
      let counts = world.rank == 0 ? [3, 5] : [5, 3]
      world.reduceScatter(
        OwnedArray(rows: 8, columns: 1, precision: .float32).matrix, counts: counts,
        into: OwnedArray(rows: counts[world.rank], columns: 1, precision: .float32).matrix)
    }
    #expect(cuts.contains("reduceScatter of 8 float32"))
    #expect(cuts.contains("cut otherwise over the ranks"))
  }

  @Test func `a rank that skips a collective shows at the next one`() {
    let text = failure(4) { world in
      let part = world.split(color: world.rank % 2, name: "data")
      if world.rank != 3 { _ = part.sum(1.0) }
      _ = part.maximum(1)
      world.barrier()
    }
    #expect(text.contains("in group 'data': rank 1 came for sum of 1 float64 at"))
    #expect(text.contains("(call 1 of the group, step 0); rank 3 came for maximum of 1 whole at"))
  }

  @Test func `rows that a peer does not expect are named`() {
    let text = failure(2) { world in
      let send = OwnedArray(rows: 4, columns: 3, precision: .float32)
      let receive = OwnedArray(rows: 4 + world.rank, columns: 3, precision: .float32)
      world.exchange(
        send.matrix, counts: [2, 2], into: receive.matrix, counts: [2 + world.rank, 2])
    }
    #expect(
      text.contains("in group 'world' rank 0 sends 24 bytes, this rank expects 36 at")
        && text.contains("CheckedModeTests.swift:"))
  }
}
