// Sequences side by side in the rows of a batch.

import Testing
import Training
import Transformer

@Suite struct RowPackingTests {
  @Test(arguments: [
    [], [7], [3, 3, 3, 3], [9, 1, 1, 9, 4, 2, 2, 8], [20, 1, 1, 1], Array(repeating: 5, count: 50),
  ]) func `examples in order take the fewest rows, as short as those can be`(lengths: [Int]) {
    let rows = lengths.inRows(of: 10)
    #expect(rows.flatMap { Array($0) } == Array(lengths.indices))
    func sums(_ rows: [Range<Int>]) -> [Int] { rows.map { lengths[$0].reduce(0, +) } }
    let most = max(10, lengths.max() ?? 0)
    #expect(sums(rows).allSatisfy { $0 <= most })
    // Taking each as it fits needs no fewer rows at that length, and more at any shorter one.
    func greedy(_ length: Int) -> Int {
      var (count, used) = (0, length + 1)
      for own in lengths {
        if used + own > length { (count, used) = (count + 1, 0) }
        used += own
      }
      return count
    }
    #expect(rows.count == greedy(most))
    let longest = sums(rows).max() ?? 0
    for shorter in (lengths.max() ?? 0)..<max(longest, lengths.max() ?? 0) {
      #expect(greedy(shorter) > rows.count)
    }
  }

  @Test func `a token sees its own sequence, from its start`() {
    let batch = Batch(rows: [[[5, 6, 7], [8]], [[9, 1]]], length: 5, padding: 0)
    #expect(batch.tokens == [5, 6, 7, 8, 0, 9, 1, 0, 0, 0])
    #expect(batch.positions == [0, 1, 2, 0, 0, 0, 1, 0, 1, 2])
    #expect(batch.firstKey == [0, 0, 0, 3, 4, 0, 0, 2, 2, 2])
    let real = [true, true, true, true, false, true, true, false, false, false]
    #expect(batch.mask == real && batch.sequences == 2)
  }
}
