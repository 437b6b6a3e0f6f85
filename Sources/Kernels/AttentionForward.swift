// Attention forward: eight rows at a time, their scores, softmax and weighted values in cache.

@inline(__always)
func attend<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ shape: AttentionShape, _ team: ThreadTeam
) {
  guard memory.q.count > 0 else { return }
  let width = wholeVectors(type, shape.headWidth)
  let capacity = wholeVectors(type, shape.keyCapacity)
  // Transposed keys, values, eight rows of queries, scores and outputs.
  let elements = 2 * width * capacity + tileRows * (2 * width + capacity)
  team.run(shape.sequences * shape.keyValueHeads) { task, worker in
    let scratch = team.scratch(bytes: elements * MemoryLayout<Scalar>.stride, worker: worker)
      .assumingMemoryBound(to: type)
    attend(AttentionRows(task: task, shape), memory, scratch)
  }
}

@inline(__always)
private func attend<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ memory: AttentionMemory, _ scratch: Pointer<Scalar>
) {
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = wholeVectors(Scalar.self, rows.keyCount)
  let keys = TileColumns(base: scratch, step: capacity)
  let spare = TileColumns(base: keys.base + width * capacity, step: width)
  let queries = TileColumns(base: spare.base + width * capacity, step: width)
  let outputs = TileColumns(base: queries.base + tileRows * width, step: width)
  let scores = TileColumns(base: outputs.base + tileRows * width, step: capacity)
  rows.packTransposed(memory.k, into: keys)
  let values = rows.wholeVectors(memory.v, copy: spare)
  let scale = Scalar(rows.shape.scale)
  for first in stride(from: 0, to: rows.count, by: tileRows) {
    let strip = first..<min(rows.count, first + tileRows)
    let visible = rows.visibleKeys(strip)
    let start = visible.lowerBound & ~(Scalar.laneCount - 1)
    rows.pack(memory.q, strip, scale: scale, into: queries, capacity: tileRows)
    multiplyEightRows(
      TileRows(base: queries.base, rowStep: width, depthStep: 1),
      TileColumns(base: keys[0, start], step: capacity),
      into: TileColumns(base: scores[0, start], step: capacity), depth: headWidth,
      columns: wholeVectors(Scalar.self, visible.upperBound - start), accumulate: false)
    var inverses = InlineArray<8, Scalar>(repeating: 0)
    for (i, row) in strip.enumerated() {
      let (sum, logSum) = exponentials(
        scores[i, 0], rows.visibleKeys(row), zeroed: start..<visible.upperBound)
      inverses[i] = sum > 0 ? 1 / sum : 0
      rows.logSumExp(Scalar.self, of: row, in: memory.logSumExp).pointee = logSum
    }
    // Rows beyond the last hold products of zero queries: finite or not, nobody reads their sums.
    multiplyEightRows(
      TileRows(base: scores[0, visible.lowerBound], rowStep: capacity, depthStep: 1),
      TileColumns(base: values[visible.lowerBound, 0], step: values.step), into: outputs,
      depth: visible.count, columns: width, accumulate: false)
    for (i, row) in strip.enumerated() {
      let target = rows.start(Scalar.self, of: row, in: memory.o)
      let inverse = Scalar.Lanes(inverses[i])
      forLanes(Scalar.self, headWidth) { c, n in
        target.set(c, n, outputs[i, 0].lanes(c, n) * inverse)
      }
    }
  }
}

/// Turns a row's scores into e^(score − largest) over its visible keys, zeros elsewhere in `zeroed`;
/// gives their sum and the scores' log-sum-exp.
@inline(__always)
private func exponentials<Scalar: KernelScalar>(
  _ row: Pointer<Scalar>, _ visible: Range<Int>, zeroed: Range<Int>
) -> (sum: Scalar, logSum: Scalar) {
  guard !visible.isEmpty else {
    (row + zeroed.lowerBound).update(repeating: 0, count: zeroed.count)
    return (0, -.infinity)
  }
  let seen = row + visible.lowerBound
  let largest = foldLanes(
    visible.count, seen, from: -.infinity, padding: -.infinity, { $0.larger($1) },
    join: { $0.larger($1) }
  ).largest()
  let shift = Scalar.Lanes(largest)
  var sum = Scalar.Lanes.zero
  forLanes(Scalar.self, visible.count) { i, n in
    let e = (seen.lanes(i, n, padding: -.infinity) - shift).exponential()
    seen.set(i, n, e)
    sum = sum + e
  }
  if zeroed.lowerBound < visible.lowerBound {
    (row + zeroed.lowerBound).update(
      repeating: 0, count: visible.lowerBound - zeroed.lowerBound)
  }
  if visible.upperBound < zeroed.upperBound {
    (row + visible.upperBound).update(
      repeating: 0, count: zeroed.upperBound - visible.upperBound)
  }
  let total = sum.sum()
  return (total, largest + total.logarithm)
}
