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
    func query(_ part: Int) -> OneQuery<Scalar> {
      let sequence = part / shape.keyValueHeads
      return OneQuery(
        rows: AttentionRows(
          sequence: sequence, keyValueHead: part % shape.keyValueHeads, shape),
        visible: shape.visibleKeys(sequence, query: 0), memory: memory, queries: queries,
        scores: scores, tile: tile)
    }
    let end = min(parts, (task + 1) * perTask)
    var next = query(task * perTask)
    next.prefetchVisible(memory.k)
    for part in task * perTask..<end {
      let own = next
      own.prefetchVisible(memory.v)
      if part + 1 < end {
        next = query(part + 1)
        next.prefetchVisible(memory.k)
      }
      own.attend()
    }
  }
}

/// One query of the heads that share a key/value head: row r is head r of them.
private struct OneQuery<Scalar: KernelScalar> where Scalar.Lanes: PowerLanes {
  let rows: AttentionRows
  /// The keys that it sees.
  let visible: Range<Int>
  let memory: AttentionMemory
  let queries, scores, tile: TileColumns<Scalar>

  private typealias Lanes = Scalar.Lanes

  /// Asks for the keys (or values) that it sees.
  @inline(__always)
  func prefetchVisible(_ matrix: Matrix) {
    let bytes = rows.headWidth &* MemoryLayout<Scalar>.stride
    var row = UnsafeRawPointer(rows.start(Scalar.self, ofKey: visible.lowerBound, in: matrix))
    for _ in visible {
      for line in stride(from: 0, to: bytes, by: 64) { prefetch_line(row + line) }
      row += matrix.stride &* MemoryLayout<Scalar>.stride
    }
  }

  @inline(__always)
  func attend() {
    let factor = Lanes(Scalar(rows.scale / naturalPerBinary))
    // Whole vectors of keys are turned sooner than what is left of one. Scores of those that are read
    // beyond the visible ones are not looked at.
    let whole = wholeVectors(Scalar.self, visible.count)
    let columns =
      rows.canRead(whole, fromKey: visible.lowerBound, of: memory.k) ? whole : visible.count
    rows.forEach(Scalar.self, 0..<rows.group, of: memory.q) { i, start in
      forLanes(Scalar.self, rows.headWidth) { c, n in
        queries[i, 0].set(c, n, start.lanes(c, n) * factor)
      }
    }
    FewRowProduct<Scalar>(
      a: matrix(queries, rows.headWidth),
      b: Matrix(
        rows.start(Scalar.self, ofKey: visible.lowerBound, in: memory.k), rows: columns,
        columns: rows.headWidth, stride: memory.k.stride, precision: Scalar.precision),
      c: matrix(scores, columns),
      area: ProductArea(rows: 0..<rows.group, columns: 0..<columns), accumulate: false
    ).run(tile.base)
    // The queries' places get what the outputs are multiplied by.
    rows.forEachLogSum(Scalar.self, 0..<rows.group, of: memory.logSumExp) { i, place in
      let sum = softmax(scores[i, 0], visible.count, logSum: place)
      queries[i, 0][0] = sum > 0 ? 1 / sum : 0
    }
    var row = 0
    while row < rows.group {
      addValues(row..<min(row + 4, rows.group))
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
  private func addValues(_ part: Range<Int>) {
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
