// Attention forward for one query of each sequence, as of decoding: keys are turned in registers,
// one key a lane, for the heads that share them.
//
// Scores, sums and outputs have the order of AttentionForward.swift, so the bits are those of the
// same query among others.

import CBLAS

/// Elements of keys that one task reads.
private let taskElements = 4096

@inline(__always)
func attendWithOneQuery<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ shape: AttentionShape, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  let group = shape.group
  let keys = wholeVectors(type, shape.keyCapacity)
  let width = wholeVectors(type, shape.headWidth)
  let bytes =
    (group * (width + keys) + Scalar.laneCount * Scalar.laneCount)
    * MemoryLayout<Scalar>.stride
  // Heads of one sequence after another: their keys lie beside each other.
  let parts = shape.sequences * shape.keyValueHeads
  let perTask = max(1, min(parts, taskElements / max(1, shape.keyCapacity * shape.headWidth)))
  team.run((parts + perTask - 1) / perTask) { task, worker in
    var scratch = ScratchCursor<Scalar>(team.scratch(bytes: bytes, worker: worker))
    let queries = scratch.take(group, step: width)
    let scores = scratch.take(group, step: keys)
    let tile = scratch.take(Scalar.laneCount, step: Scalar.laneCount)
    func rows(_ part: Int) -> AttentionRows {
      AttentionRows(
        sequence: part / shape.keyValueHeads, keyValueHead: part % shape.keyValueHeads, shape)
    }
    let end = min(parts, (task + 1) * perTask)
    rows(task * perTask).prefetchVisible(type, of: memory.k)
    for part in task * perTask..<end {
      rows(part).prefetchVisible(type, of: memory.v)
      if part + 1 < end { rows(part + 1).prefetchVisible(type, of: memory.k) }
      OneQuery(
        rows: rows(part), memory: memory, queries: queries, scores: scores, tile: tile
      ).attend()
    }
  }
}

extension AttentionRows {
  /// Asks for the keys (or values) that the one query of each head sees.
  @inline(__always)
  fileprivate func prefetchVisible<Scalar>(_ type: Scalar.Type, of matrix: Matrix) {
    let visible = shape.visibleKeys(sequence, query: 0)
    let bytes = headWidth * MemoryLayout<Scalar>.stride
    var row = UnsafeRawPointer(start(type, ofKey: visible.lowerBound, in: matrix))
    for _ in visible {
      for line in stride(from: 0, to: bytes, by: 64) { prefetch_line(row + line) }
      row += matrix.stride * MemoryLayout<Scalar>.stride
    }
  }
}

/// One query of the heads that share a key/value head: row r is head r of them.
private struct OneQuery<Scalar: KernelScalar> where Scalar.Lanes: PowerLanes {
  let rows: AttentionRows
  let memory: AttentionMemory
  let queries, scores, tile: TileColumns<Scalar>

  private typealias Lanes = Scalar.Lanes

  @inline(__always)
  func attend() {
    let visible = rows.shape.visibleKeys(rows.sequence, query: 0)
    let factor = Lanes(Scalar(rows.shape.scale / naturalPerBinary))
    rows.forEach(Scalar.self, 0..<rows.group, of: memory.q) { i, start in
      forLanes(Scalar.self, rows.headWidth) { c, n in
        queries[i, 0].set(c, n, start.lanes(c, n) * factor)
      }
    }
    FewRowProduct<Scalar>(
      a: matrix(queries, rows.headWidth),
      b: Matrix(
        rows.start(Scalar.self, ofKey: visible.lowerBound, in: memory.k), rows: visible.count,
        columns: rows.headWidth, stride: memory.k.stride, precision: Scalar.precision),
      c: matrix(scores, visible.count),
      area: ProductArea(rows: 0..<rows.group, columns: 0..<visible.count), accumulate: false
    ).run(tile.base)
    // The queries' places get what the outputs are multiplied by.
    rows.forEachLogSum(Scalar.self, 0..<rows.group, of: memory.logSumExp) { i, place in
      let sum = softmax(scores[i, 0], visible.count, logSum: place)
      queries[i, 0][0] = sum > 0 ? 1 / sum : 0
    }
    var row = 0
    while row < rows.group {
      addValues(row..<min(row + 4, rows.group), visible)
      row += 4
    }
  }

  private func matrix(_ tile: TileColumns<Scalar>, _ columns: Int) -> Matrix {
    Matrix(
      tile.base, rows: rows.group, columns: columns, stride: tile.step,
      precision: Scalar.precision)
  }

  /// Turns a row's scores s into 2^(s − largest), gives their sum and the natural log-sum-exp.
  @inline(__always)
  private func softmax(
    _ row: Pointer<Scalar>, _ count: Int, logSum: Pointer<Scalar>
  ) -> Scalar {
    let found: Scalar = largest(count, row)
    let top = found > -Scalar.infinity ? found : 0
    let shift = Lanes(top)
    forLanes(Scalar.self, count) { k, n in
      row.set(k, n, (row.lanes(k, n) - shift).powerOfTwo())
    }
    var sum: Scalar = 0
    for k in 0..<count { sum += row[k] }
    logSum.pointee = top * Scalar(naturalPerBinary) + sum.logarithm
    return sum
  }

  /// Outputs of up to four rows; the last of fewer is computed more than once.
  @inline(__always)
  private func addValues(_ part: Range<Int>, _ visible: Range<Int>) {
    let last = part.upperBound - 1
    let p0 = scores[part.lowerBound, 0]
    let p1 = scores[min(part.lowerBound + 1, last), 0]
    let p2 = scores[min(part.lowerBound + 2, last), 0]
    let p3 = scores[last, 0]
    let start = rows.start(Scalar.self, ofKey: visible.lowerBound, in: memory.v)
    forLanes(Scalar.self, rows.headWidth) { c, n in
      var (s0, s1, s2, s3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var values = start
      for k in 0..<visible.count {
        let value = values.lanes(c, n)
        s0 = s0.adding(Lanes(p0[k]), times: value)
        s1 = s1.adding(Lanes(p1[k]), times: value)
        s2 = s2.adding(Lanes(p2[k]), times: value)
        s3 = s3.adding(Lanes(p3[k]), times: value)
        values += memory.v.stride
      }
      rows.forEach(Scalar.self, part, of: memory.o) { i, target in
        let sums = i == 0 ? s0 : i == part.count - 1 ? s3 : i == 1 ? s1 : s2
        target.set(c, n, sums * Lanes(queries[part.lowerBound + i, 0][0]))
      }
    }
  }
}
