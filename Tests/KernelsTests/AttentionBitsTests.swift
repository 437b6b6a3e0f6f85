// A row of attention gets the same bits whatever stands beside it.

import Foundation
import Kernels
import Testing

@Test(
  arguments: Precision.allCases,
  [(8, 4, 32), (5, 1, 7), (2, 2, 64), (9, 3, 16)])
func `a query alone gets the bits that it gets among others`(
  _ precision: Precision, _ sizes: (Int, Int, Int)
) {
  let (heads, keyValueHeads, width) = sizes
  let (sequences, length) = (3, 37)
  // The second sequence begins late, the third has a query that sees nothing.
  let first = (0..<sequences * length).map { [0, 5, 1][$0 / length] }.map(Int32.init)
  var shape = AttentionShape(
    sequences: sequences, queryLength: length, keyCapacity: length, heads: heads,
    keyValueHeads: keyValueHeads, headWidth: width, scale: 0.3, firstKey: first)
  func random(_ seed: UInt64, _ heads: Int) -> Sample {
    Sample(
      random: seed,
      Shape(rows: sequences * length, columns: heads * width, gap: 3, precision: precision))
  }
  let q = random(1, heads)
  let k = random(2, keyValueHeads)
  let v = random(3, keyValueHeads)
  func attended(_ q: Sample, _ shape: AttentionShape, _ team: ThreadTeam) -> [Sample] {
    let o = Sample(q.matrix.rows, q.matrix.columns, gap: 1, precision)
    let sums = Sample(shape.sequences * shape.heads, shape.queryLength, precision)
    attention(
      queries: q.matrix, keys: k.matrix, values: v.matrix, shape: shape, into: o.matrix,
      logSumExp: sums.matrix, team: team)
    return [o, sums]
  }
  let whole = results { attended(q, shape, $0) }
  shape.queryLength = 1
  for query in [0, 1, 4, 15, 16, 36] {
    shape.keyLengths = Array(repeating: query + 1, count: sequences)
    shape.firstKey = (0..<sequences).map { first[$0 * length + query] }
    let own = Sample(sequences, q.matrix.columns, gap: 2, precision) {
      q[$0 * length + query, $1]
    }
    let alone = results { attended(own, shape, $0) }
    for sequence in 0..<sequences {
      for column in 0..<q.matrix.columns {
        #expect(alone[0][sequence, column] == whole[0][sequence * length + query, column])
      }
    }
    for head in 0..<sequences * heads {
      #expect(alone[1][head, 0] == whole[1][head, query])
    }
  }
  withExtendedLifetime((k, v)) {}
}

@Test(arguments: Precision.allCases, [(4, 4, 16), (6, 2, 7), (2, 1, 40)])
func `a packed example gets the bits that it gets alone`(
  _ precision: Precision, _ sizes: (Int, Int, Int)
) {
  let (heads, keyValueHeads, width) = sizes
  let lengths = [3, 20, 5, 16, 17, 1, 9, 41]
  let starts = lengths.indices.map { lengths[..<$0].reduce(0, +) }
  let first = zip(starts, lengths).flatMap { Array(repeating: Int32($0), count: $1) }
  func random(_ seed: UInt64, _ heads: Int) -> Sample {
    Sample(
      random: seed,
      Shape(rows: first.count, columns: heads * width, gap: 1, precision: precision))
  }
  let (q, k, v) = (random(1, heads), random(2, keyValueHeads), random(3, keyValueHeads))
  func attended(_ rows: Range<Int>, firstKey: [Int32]?) -> [Sample] {
    func part(_ x: Sample) -> Sample {
      Sample(rows.count, x.matrix.columns, precision) { x[rows.lowerBound + $0, $1] }
    }
    let (ownQ, ownK, ownV) = (part(q), part(k), part(v))
    let shape = AttentionShape(
      sequences: 1, queryLength: rows.count, keyCapacity: rows.count, heads: heads,
      keyValueHeads: keyValueHeads, headWidth: width, scale: 0.3, firstKey: firstKey)
    let o = Sample(rows.count, q.matrix.columns, precision)
    let sums = Sample(heads, rows.count, precision)
    attention(
      queries: ownQ.matrix, keys: ownK.matrix, values: ownV.matrix, shape: shape, into: o.matrix,
      logSumExp: sums.matrix, team: ThreadTeam(size: 1))
    return withExtendedLifetime((ownQ, ownK, ownV)) { [o, sums] }
  }
  let packed = attended(0..<first.count, firstKey: first)
  for (start, length) in zip(starts, lengths) {
    let alone = attended(start..<start + length, firstKey: nil)
    for row in 0..<length {
      for column in 0..<q.matrix.columns {
        #expect(packed[0][start + row, column] == alone[0][row, column])
      }
      for head in 0..<heads { #expect(packed[1][head, start + row] == alone[1][head, row]) }
    }
  }
}

@Test(arguments: Precision.allCases, [(4, 4, 16), (6, 2, 16), (2, 1, 40)])
func `what stands behind the keys that a query sees is not looked at`(
  _ precision: Precision, _ sizes: (Int, Int, Int)
) {
  let (heads, keyValueHeads, width) = sizes
  let lengths = [5, 16, 20, 1, 37]
  let capacity = 37
  let shape = AttentionShape(
    sequences: lengths.count, queryLength: 1, keyCapacity: capacity, heads: heads,
    keyValueHeads: keyValueHeads, headWidth: width, scale: 0.3, keyLengths: lengths)
  let q = Sample(
    random: 1, Shape(rows: lengths.count, columns: heads * width, gap: 0, precision: precision))
  func attended(behind value: Double) -> [[Double]] {
    func filled(_ seed: UInt64) -> Sample {
      let random = Sample(
        random: seed,
        Shape(
          rows: lengths.count * capacity, columns: keyValueHeads * width, gap: 0,
          precision: precision))
      return Sample(random.matrix.rows, random.matrix.columns, precision) {
        $0 % capacity < lengths[$0 / capacity] ? random[$0, $1] : value
      }
    }
    let (k, v) = (filled(2), filled(3))
    let found = results { team in
      let o = Sample(lengths.count, heads * width, precision)
      let sums = Sample(lengths.count * heads, 1, precision)
      attention(
        queries: q.matrix, keys: k.matrix, values: v.matrix, shape: shape, into: o.matrix,
        logSumExp: sums.matrix, team: team)
      return [o, sums]
    }
    withExtendedLifetime((k, v)) {}
    return found.map { sample in
      (0..<sample.matrix.rows).flatMap { row in
        (0..<sample.matrix.columns).map { sample[row, $0] }
      }
    }
  }
  let found = attended(behind: .nan)
  #expect(found.allSatisfy { $0.allSatisfy(\.isFinite) })
  #expect(found == attended(behind: 0))
}
