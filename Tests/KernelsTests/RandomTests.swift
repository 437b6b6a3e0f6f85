// Philox against its published known answers, and what is drawn from it against its distribution.

import Foundation
import Kernels
import Testing

@Test func `Philox gives the known answers of Random123`() {
  let ones = UInt32.max
  #expect(
    philox4x32(counter: (0, 0, 0, 0), key: (0, 0))
      == (0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
  #expect(
    philox4x32(counter: (ones, ones, ones, ones), key: (ones, ones))
      == (0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
  #expect(
    philox4x32(
      counter: (0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
      key: (0xa409_3822, 0x299f_31d0))
      == (0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
}

@Test(arguments: Precision.allCases)
func `a slice drawn by itself equals the slice of the whole`(_ precision: Precision) {
  let (rows, columns) = (150, 201)
  let key = RandomKey(seed: 5, name: "model.layers.0.weight")
  let whole = Sample(rows, columns, precision)
  fillNormal(
    whole.matrix, key: key, firstElement: 0, rowStride: columns, standardDeviation: 0.02,
    team: ThreadTeam(size: 2))
  for (row, column, height, width) in [
    (0, 0, 150, 201), (3, 5, 1, 1), (7, 100, 20, 33), (149, 0, 1, 201),
  ] {
    let slice = Sample(height, width, gap: 3, precision)
    fillNormal(
      slice.matrix, key: key, firstElement: row * columns + column, rowStride: columns,
      standardDeviation: 0.02, team: ThreadTeam(size: 1))
    let truth = (0..<height).flatMap { r in (0..<width).map { whole[row + r, column + $0] } }
    #expect(slice.values == truth)
    #expect(slice.isIntactAround)
  }
}

@Test func `float32 draws are the rounded float64 draws`() {
  let key = RandomKey(seed: 5, name: "w")
  let drawn = Precision.allCases.map { precision in
    let a = Sample(3, 1001, precision)
    fillNormal(
      a.matrix, key: key, firstElement: 1 << 40, rowStride: 1001, standardDeviation: 1,
      team: ThreadTeam(size: 1))
    return a.values
  }
  #expect(drawn[0] == drawn[1].map { Double(Float($0)) })
}

@Test func `normal draws have the moments and the tails of the normal distribution`() {
  let count = 400_000
  let a = Sample(1, count, .float64)
  fillNormal(
    a.matrix, key: RandomKey(seed: 1, name: "moments"), firstElement: 0, rowStride: count,
    standardDeviation: 2, team: ThreadTeam(size: 2))
  let z = a.values.map { $0 / 2 }
  let n = Double(count)
  func moment(_ power: Int) -> Double { z.reduce(0) { $0 + pow($1, Double(power)) } / n }
  // Five standard errors each: √(1/n), √(2/n), √(15/n), √(96/n).
  #expect(abs(moment(1)) < 5 / n.squareRoot())
  #expect(abs(moment(2) - 1) < 5 * (2 / n).squareRoot())
  #expect(abs(moment(3)) < 5 * (15 / n).squareRoot())
  #expect(abs(moment(4) - 3) < 5 * (96 / n).squareRoot())
  for threshold in [0.5, 1, 2, 3] {
    let probability = erfc(threshold / 2.0.squareRoot())
    let share = Double(z.count { abs($0) > threshold }) / n
    #expect(abs(share - probability) < 5 * (probability / n).squareRoot())
  }
  let neighbours = zip(z, z.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / n
  #expect(abs(neighbours) < 5 / n.squareRoot())
}

@Test func `keys of other seeds, names and numbers give other streams`() {
  var keys: Set<RandomKey> = []
  for seed in 0..<20 as Range<UInt64> {
    for name in ["", "a", "b", "ab", "model.norm.weight"] {
      let key = RandomKey(seed: seed, name: name)
      keys.insert(key)
      for n in 0..<20 as Range<UInt64> { keys.insert(key.derived(n)) }
    }
  }
  #expect(keys.count == 20 * 5 * 21)
  #expect(RandomKey(seed: 3, name: "a") == RandomKey(seed: 3, name: "a"))
}

@Test func `uniform numbers and integers fill their range evenly`() {
  let key = RandomKey(seed: 2, name: "uniform")
  let count = 70_000
  var bins = [Int](repeating: 0, count: 10)
  var sevens = [Int](repeating: 0, count: 7)
  for counter in 0..<UInt64(count) {
    let u = uniform(key, counter: counter)
    #expect(u >= 0 && u < 1)
    bins[Int(u * 10)] += 1
    sevens[uniformInteger(key.derived(1), counter: counter, below: 7)] += 1
  }
  for (counts, expected) in [(bins, 7000.0), (sevens, 10_000.0)] {
    // χ² with 9 and 6 degrees of freedom: 40 is exceeded once in 100,000 times.
    #expect(counts.reduce(0) { $0 + pow(Double($1) - expected, 2) / expected } < 40)
  }
}

@Test(arguments: [0, 1, 2, 7, 1000])
func `a shuffle is a permutation that its key decides`(_ count: Int) {
  let key = RandomKey(seed: 2, name: "order")
  let order = shuffled(count: count, key: key)
  #expect(order.sorted() == (0..<Int32(count)).map { $0 })
  #expect(order == shuffled(count: count, key: key))
  if count >= 1000 { #expect(order != shuffled(count: count, key: key.derived(1))) }
}

@Test func `each permutation of three comes equally often`() {
  let key = RandomKey(seed: 4, name: "permutations")
  var counts: [[Int32]: Int] = [:]
  for n in 0..<6000 as Range<UInt64> {
    counts[shuffled(count: 3, key: key.derived(n)), default: 0] += 1
  }
  #expect(counts.count == 6)
  #expect(counts.values.allSatisfy { abs($0 - 1000) < 150 })
}
