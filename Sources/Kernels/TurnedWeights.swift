// Weights turned once for many products: the vectors that few rows are multiplied by lie one behind
// the other, so that they stream from memory into the sums.

import CBLAS

/// Whether products of this build read turned weights; OpenBLAS's do not.
public var productsReadTurnedWeights: Bool { compiled_for_avx512() == 1 }

/// Elements behind turned weights that a product may read, and ignores.
public let turnedPadding = 16

/// Writes W [N, K] of each pair for x · Wᵀ: a strip of as many of W's rows as a vector has lanes
/// after another (the last may be narrower), and in each strip column after column of W.
///
/// `turned` has room for W's elements and `turnedPadding` more.
public func turn(_ pairs: [(weights: Matrix, turned: UnsafeMutableRawPointer)], team: ThreadTeam) {
  var tasks: [(pair: Int, rows: Range<Int>)] = []
  for (pair, (weights, _)) in pairs.enumerated() {
    // Whole strips in either precision, some 64 KB of them.
    let perTask = max(16, 16_384 / max(weights.columns, 1) / 16 * 16)
    for first in stride(from: 0, to: weights.rows, by: perTask) {
      tasks.append((pair, first..<min(first + perTask, weights.rows)))
    }
  }
  team.run(tasks.count) { task, _ in
    let (weights, turned) = pairs[tasks[task].pair]
    switch weights.precision {
    case .float32: turnRows(Float.self, weights, tasks[task].rows, turned)
    case .float64: turnRows(Double.self, weights, tasks[task].rows, turned)
    }
  }
}

@inline(__always)
private func turnRows<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ weights: Matrix, _ rows: Range<Int>, _ turned: UnsafeMutableRawPointer
) {
  let target = turned.assumingMemoryBound(to: type)
  let lanes = Scalar.laneCount
  var row = rows.lowerBound
  while row < rows.upperBound {
    let count = min(lanes, rows.upperBound - row)
    transpose(
      weights.row(type, row), weights.stride, rows: count, columns: weights.columns,
      into: target + row &* weights.columns, count)
    row += lanes
  }
}

extension FewRowProduct {
  private typealias Lanes = Scalar.Lanes
  private var lanes: Int { Scalar.laneCount }
  /// Elements of turned weights that are on their way while others are multiplied: 8 KB, which
  /// measured 1.5 times as fast with eight rows as what the processor fetches ahead by itself.
  var streamAhead: Int { 8192 / MemoryLayout<Scalar>.stride }

  /// One row, for four vectors of columns: as many sums as a multiplication takes cycles. Fetching ahead
  /// gains nothing here: four streams are what the processor foresees.
  @inline(__always)
  func oneRowOfTurned(_ column: Int) {
    let row = area.rows.lowerBound
    let x = a.row(Scalar.self, row)
    let target = c.row(Scalar.self, row) + column
    let step = a.columns &* lanes
    var w0 = turned(column, lanes, 0)
    var (w1, w2, w3) = (w0 + step, w0 + 2 &* step, w0 + 3 &* step)
    var first = 0
    while first < a.columns {
      var (s0, s1, s2, s3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      let end = min(first &+ panelDepth, a.columns)
      for k in first..<end {
        let lane = Lanes(x[k])
        s0 = s0.adding(lane, times: Lanes(w0))
        s1 = s1.adding(lane, times: Lanes(w1))
        s2 = s2.adding(lane, times: Lanes(w2))
        s3 = s3.adding(lane, times: Lanes(w3))
        w0 += lanes
        w1 += lanes
        w2 += lanes
        w3 += lanes
      }
      if accumulate || first > 0 {
        s0 = Lanes(target) + s0
        s1 = Lanes(target + lanes) + s1
        s2 = Lanes(target + 2 &* lanes) + s2
        s3 = Lanes(target + 3 &* lanes) + s3
      }
      s0.store(to: target)
      s1.store(to: target + lanes)
      s2.store(to: target + 2 &* lanes)
      s3.store(to: target + 3 &* lanes)
      first = end
    }
  }

  /// Turned weights of `columns` columns from `column` on, from depth k.
  @inline(__always)
  func turned(_ column: Int, _ columns: Int, _ k: Int) -> Pointer<Scalar> {
    b.turned!.assumingMemoryBound(to: Scalar.self) + (column &* b.columns &+ k &* columns)
  }
}
