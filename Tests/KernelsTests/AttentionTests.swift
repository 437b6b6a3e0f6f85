// Attention against plain loops in Double, its gradient against central differences.

import Foundation
import Kernels
import Testing

/// A shape, a precision, and what is special about it.
struct AttentionCase: CustomTestStringConvertible, Sendable {
  var name: String
  var shape: AttentionShape
  var precision: Precision
  var gap = 0

  var testDescription: String { "\(name), \(precision)" }
  var tolerance: Double { precision == .float32 ? 4e-6 : 2e-14 }

  private static func shape(
    _ sequences: Int, _ queries: Int, _ keys: Int, heads: Int, _ keyValueHeads: Int, width: Int,
    lengths: [Int]? = nil, first: [Int32]? = nil, positions: [Int32]? = nil
  ) -> AttentionShape {
    AttentionShape(
      sequences: sequences, queryLength: queries, keyCapacity: keys, heads: heads,
      keyValueHeads: keyValueHeads, headWidth: width, scale: 1 / Double(width).squareRoot(),
      keyLengths: lengths, firstKey: first, queryPositions: positions)
  }

  /// The first key of each query: documents that end at these places, and a query that sees none.
  private static func documents(_ length: Int, ends: [Int], blind: Int? = nil) -> [Int32] {
    (0..<length).map { query in
      query == blind ? Int32(length) : Int32(ends.last { $0 <= query } ?? 0)
    }
  }

  /// Documents of 5 to 20 tokens, one after another.
  private static func short(_ length: Int, seed: Int) -> [Int32] {
    let ends = (1...length).reduce(into: [0]) { ends, i in
      ends.append(ends.last! + 5 + (i * 7 + seed) % 16)
    }
    return documents(length, ends: ends)
  }

  /// First keys that neither rise nor stay within what their query may see.
  private static func unordered(_ length: Int, seed: Int) -> [Int32] {
    (0..<length).map { query in Int32((query + seed) * 7919 % (query + 9)) }
  }

  static let small: [(String, AttentionShape, Int)] = [
    ("one of each", shape(1, 1, 1, heads: 1, 1, width: 1), 0),
    ("odd sizes", shape(2, 5, 5, heads: 3, 3, width: 7), 2),
    ("grouped heads", shape(1, 9, 9, heads: 6, 2, width: 5), 0),
    (
      "padding and documents",
      shape(
        2, 6, 6, heads: 2, 1, width: 3,
        first: documents(6, ends: [2, 4], blind: 0) + documents(6, ends: [], blind: 3)), 1
    ),
    ("a cache", shape(3, 2, 11, heads: 4, 2, width: 4, lengths: [11, 5, 2]), 1),
    (
      "some queries of documents, and a place without one",
      shape(
        2, 3, 7, heads: 2, 1, width: 3, first: [0, 2, 2, 0, 5, .max], positions: [1, 3, 6, 0, 5, 6]),
      1
    ),
    ("no key for the first queries", shape(2, 4, 5, heads: 2, 2, width: 3, lengths: [2, 0]), 0),
  ]

  static let large: [(String, AttentionShape, Int)] = [
    ("lanes and a bit", shape(2, 67, 67, heads: 4, 2, width: 33), 3),
    ("whole lanes", shape(2, 128, 128, heads: 4, 2, width: 32), 0),
    (
      "long documents",
      shape(1, 190, 190, heads: 2, 1, width: 16, first: documents(190, ends: [3, 70, 131])), 0
    ),
    (
      "first keys without order",
      shape(
        2, 150, 150, heads: 2, 1, width: 16,
        first: unordered(150, seed: 1) + unordered(150, seed: 2)), 0
    ),
    (
      "short documents",
      shape(2, 230, 230, heads: 2, 2, width: 16, first: short(230, seed: 0) + short(230, seed: 5)),
      0
    ),
    (
      "short documents, grouped heads",
      shape(2, 101, 101, heads: 6, 2, width: 20, first: short(101, seed: 1) + short(101, seed: 4)),
      1
    ),
    (
      "some tokens' queries",
      shape(
        2, 35, 140, heads: 4, 2, width: 16, first: short(35, seed: 2) + short(35, seed: 3),
        positions: (0..<70).map { Int32($0 % 35 * 4 + $0 / 35) }), 0
    ),
    ("beyond one block of keys", shape(1, 600, 600, heads: 1, 1, width: 16), 0),
    ("a long cache", shape(2, 1, 700, heads: 8, 2, width: 64, lengths: [700, 389]), 0),
    (
      "some queries of long documents",
      shape(
        1, 95, 190, heads: 2, 2, width: 16, first: (0..<95).map { [0, 70, 131][$0 / 35] },
        positions: (0..<95).map { Int32(2 * $0 + $0 % 2) }), 0
    ),
    ("no sequences", shape(0, 8, 8, heads: 2, 1, width: 16), 0),
    ("no queries", shape(2, 0, 8, heads: 2, 1, width: 16), 0),
  ]

  static let all: [AttentionCase] = Precision.allCases.flatMap { precision in
    (small + large).map {
      AttentionCase(name: $0.0, shape: $0.1, precision: precision, gap: $0.2)
    }
  }

  static let differentiable: [AttentionCase] = small.map {
    AttentionCase(name: $0.0, shape: $0.1, precision: .float64, gap: $0.2)
  }

  func queries(_ seed: UInt64? = nil) -> Sample {
    sample(seed, shape.sequences * shape.queryLength, shape.heads * shape.headWidth)
  }

  func keys(_ seed: UInt64? = nil) -> Sample {
    sample(seed, shape.sequences * shape.keyCapacity, shape.keyValueHeads * shape.headWidth)
  }

  func logSums() -> Sample {
    Sample(shape.sequences * shape.heads, shape.queryLength, gap: gap + 1, precision)
  }

  private func sample(_ seed: UInt64?, _ rows: Int, _ columns: Int) -> Sample {
    guard let seed else { return Sample(rows, columns, gap: gap, precision) }
    return Sample(
      random: seed, Shape(rows: rows, columns: columns, gap: gap, precision: precision))
  }
}

/// Everything the kernels compute, by the definition.
private struct Reference {
  var o, logSums, dq, dk, dv: [Double]

  init(_ shape: AttentionShape, q: Sample, k: Sample, v: Sample, dO: Sample) {
    let s = shape
    let d = s.headWidth
    let (queryWidth, keyWidth) = (s.heads * d, s.keyValueHeads * d)
    o = Array(repeating: 0, count: s.sequences * s.queryLength * queryWidth)
    logSums = Array(repeating: -.infinity, count: s.sequences * s.heads * s.queryLength)
    dq = o
    dk = Array(repeating: 0, count: s.sequences * s.keyCapacity * keyWidth)
    dv = dk
    let (q, k, v, dO) = (q.values, k.values, v.values, dO.values)
    for b in 0..<s.sequences {
      let length = s.keyLengths?[b] ?? s.keyCapacity
      for i in 0..<s.queryLength {
        let position =
          s.queryPositions.map { Int($0[b * s.queryLength + i]) } ?? length - s.queryLength + i
        let first = Int(s.firstKey?[b * s.queryLength + i] ?? 0)
        guard first <= position else { continue }
        for h in 0..<s.heads {
          let row = (b * s.queryLength + i) * queryWidth + h * d
          let keys = (first...position).map {
            (b * s.keyCapacity + $0) * keyWidth + h / (s.heads / s.keyValueHeads) * d
          }
          let scores = keys.map { key in
            s.scale * (0..<d).reduce(0) { $0 + q[row + $1] * k[key + $1] }
          }
          let largest = scores.max()!
          let sum = scores.reduce(0) { $0 + exp($1 - largest) }
          let p = scores.map { exp($0 - largest) / sum }
          logSums[(b * s.heads + h) * s.queryLength + i] = largest + log(sum)
          let dp = keys.map { key in (0..<d).reduce(0) { $0 + dO[row + $1] * v[key + $1] } }
          let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
          for (j, key) in keys.enumerated() {
            let ds = s.scale * p[j] * (dp[j] - mean)
            for c in 0..<d {
              o[row + c] += p[j] * v[key + c]
              dq[row + c] += ds * k[key + c]
              dk[key + c] += ds * q[row + c]
              dv[key + c] += p[j] * dO[row + c]
            }
          }
        }
      }
    }
  }
}

/// Replaces the key rows that do not exist by NaN: nobody may read them.
private func hideMissing(_ keys: Sample, _ shape: AttentionShape) -> Sample {
  for b in 0..<shape.sequences {
    for row in (shape.keyLengths?[b] ?? shape.keyCapacity)..<shape.keyCapacity {
      for c in 0..<keys.matrix.columns { keys[b * shape.keyCapacity + row, c] = .nan }
    }
  }
  return keys
}

@Test(arguments: AttentionCase.all)
func `attention and its gradient are their definition`(_ test: AttentionCase) {
  let shape = test.shape
  let q = test.queries(1)
  let k = hideMissing(test.keys(2), shape)
  let v = hideMissing(test.keys(3), shape)
  let dO = test.queries(4)
  let found = results { team in
    let (o, dq) = (test.queries(), test.queries())
    let (dk, dv) = (test.keys(), test.keys())
    let logSums = test.logSums()
    attention(
      queries: q.matrix, keys: k.matrix, values: v.matrix, shape: shape, into: o.matrix,
      logSumExp: logSums.matrix, team: team)
    attentionGradient(
      outputGradient: dO.matrix, queries: q.matrix, keys: k.matrix, values: v.matrix,
      output: o.matrix, logSumExp: logSums.matrix, shape: shape, into: dq.matrix, dk.matrix,
      dv.matrix, team: team)
    return [o, dq, dk, dv, logSums]
  }
  let truth = Reference(shape, q: q, k: k, v: v, dO: dO)
  expectClose(found[0].values, truth.o, tolerance: test.tolerance)
  expectClose(found[1].values, truth.dq, tolerance: test.tolerance)
  expectClose(found[2].values, truth.dk, tolerance: test.tolerance)
  expectClose(found[3].values, truth.dv, tolerance: test.tolerance)
  let (sums, expected) = (found[4].values, truth.logSums)
  #expect(sums.map(\.isFinite) == expected.map(\.isFinite))
  expectClose(
    sums.filter(\.isFinite), expected.filter(\.isFinite), tolerance: test.tolerance)
}

@Test(arguments: AttentionCase.differentiable)
func `attention's gradient is its central differences`(_ test: AttentionCase) {
  let shape = test.shape
  let (q, k, v, weights) = (test.queries(1), test.keys(2), test.keys(3), test.queries(4))
  let team = ThreadTeam(size: 1)
  let (o, logSums) = (test.queries(), test.logSums())
  func forward() -> [Double] {
    attention(
      queries: q.matrix, keys: k.matrix, values: v.matrix, shape: shape, into: o.matrix,
      logSumExp: logSums.matrix, team: team)
    return o.values
  }
  let differences = [q, k, v].map {
    centralDifferences(of: $0, weights: weights.values, forward)
  }
  _ = forward()
  let (dq, dk, dv) = (test.queries(), test.keys(), test.keys())
  attentionGradient(
    outputGradient: weights.matrix, queries: q.matrix, keys: k.matrix, values: v.matrix,
    output: o.matrix, logSumExp: logSums.matrix, shape: shape, into: dq.matrix, dk.matrix,
    dv.matrix, team: team)
  withExtendedLifetime((q, k, v, o, logSums, weights)) {
    for (found, differences) in zip([dq, dk, dv], differences) {
      expectClose(found.values, differences, tolerance: differenceTolerance)
    }
  }
}

@Test(arguments: Precision.allCases)
func `large scores neither overflow nor vanish`(_ precision: Precision) {
  let shape = AttentionShape(
    sequences: 1, queryLength: 3, keyCapacity: 3, heads: 1, keyValueHeads: 1, headWidth: 1,
    scale: 1)
  // Scores of the last query: −20000, 20000, 0.
  let q = Sample(3, 1, precision) { _, _ in 200 }
  let k = Sample(3, 1, precision) { row, _ in [-100, 100, 0][row] }
  let v = Sample(3, 1, precision) { row, _ in Double(row + 1) }
  let (o, logSums) = (Sample(3, 1, precision), Sample(1, 3, precision))
  attention(
    queries: q.matrix, keys: k.matrix, values: v.matrix, shape: shape, into: o.matrix,
    logSumExp: logSums.matrix, team: ThreadTeam(size: 1))
  withExtendedLifetime((q, k, v)) {
    expectClose(o.values, [1, 2, 2], tolerance: 1e-7)
    expectClose(logSums.values, [-20000, 20000, 20000], tolerance: 2e-7)
  }
}
