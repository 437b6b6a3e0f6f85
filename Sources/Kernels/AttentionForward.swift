// Attention forward: blocks of rows, one row a lane, so that softmax runs down the keys.

/// Rows of one task where there are few sequences and heads; a multiple of every block.
private let taskRows = 512

@inline(__always)
func attend<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ shape: AttentionShape, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  guard memory.q.count > 0 else { return }
  if shape.queryLength == 1 && shape.headWidth <= panelDepth {
    return attendWithOneQuery(type, memory, shape, team)
  }
  let block = 2 * Scalar.laneCount
  let width = wholeVectors(type, shape.headWidth)
  let capacity = (shape.keyCapacity + tileRows) / tileRows * tileRows
  // Keys and values; of a block of rows the queries by row and across, scores, eight rows of
  // outputs, and four numbers each.
  let elements =
    2 * width * capacity + block * (2 * width + capacity + 4) + tileRows * width
  let rows = shape.queryLength * shape.group
  let chunks = (rows + taskRows - 1) / taskRows
  team.run(shape.sequences * shape.keyValueHeads * chunks) { task, worker in
    let scratch = team.scratch(bytes: elements * MemoryLayout<Scalar>.stride, worker: worker)
    let head = task / chunks
    // Late rows see most keys: they come first.
    let first = (chunks - 1 - task % chunks) * taskRows
    attend(
      AttentionRows(
        sequence: head / shape.keyValueHeads, keyValueHead: head % shape.keyValueHeads, shape),
      first..<min(rows, first + taskRows), memory, ScratchCursor<Scalar>(scratch))
  }
}

@inline(__always)
private func attend<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ range: Range<Int>, _ memory: AttentionMemory,
  _ scratch: ScratchCursor<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = (rows.keyCount + tileRows) / tileRows * tileRows
  let block = 2 * Scalar.laneCount
  var scratch = scratch
  let keyCopy = scratch.take(capacity, step: width)
  let valueCopy = scratch.take(capacity, step: width)
  let queries = scratch.take(block, step: width)
  let queriesAcross = scratch.take(width, step: block)
  let scores = scratch.take(capacity, step: block)
  let outputs = scratch.take(tileRows, step: width)
  let limitMemory = scratch.take(2, step: block)
  let inverses = scratch.take(1, step: block).base
  let logSums = scratch.take(1, step: block).base
  let keys = rows.keys(memory.k, copy: keyCopy, rows: range.count)
  let values = rows.keys(memory.v, copy: valueCopy, rows: range.count)

  for first in stride(from: range.lowerBound, to: range.upperBound, by: block) {
    let strip = first..<min(range.upperBound, first + block)
    let limits = AttentionLimits(rows, strip, capacity: block, memory: limitMemory)
    let visible = limits.keys(0, count: block).any
    let start = visible.lowerBound & ~(tileRows - 1)
    rows.pack(
      memory.q, strip, scale: rows.shape.scale / naturalPerBinary, into: queries,
      across: queriesAcross)
    multiplyKeys(
      keys, queriesAcross, into: scores, from: start, start..<visible.upperBound, limits,
      depth: headWidth)
    for row in stride(from: 0, to: strip.count, by: Scalar.laneCount) {
      softmax(
        scores[0, row], scores.step, limits, row, from: start, inverses: inverses + row,
        logSums: logSums + row)
    }
    rows.forEachLogSum(Scalar.self, strip, of: memory.logSumExp) { i, place in
      place.pointee = logSums[i]
    }
    for row in stride(from: 0, to: strip.count, by: tileRows) {
      let seen = limits.keys(row, count: min(tileRows, strip.count - row)).any
      multiplyEightRows(
        TileRows(base: scores[seen.lowerBound - start, row], rowStep: 1, depthStep: block),
        TileColumns(base: values[seen.lowerBound, 0], step: values.step), into: outputs,
        depth: seen.count, columns: width, accumulate: false)
      let eight = first + row..<min(strip.upperBound, first + row + tileRows)
      rows.forEach(Scalar.self, eight, of: memory.o) { i, target in
        let inverse = Lanes(inverses[row + i])
        forLanes(Scalar.self, headWidth) { c, n in
          target.set(c, n, outputs[i, 0].lanes(c, n) * inverse)
        }
      }
    }
  }
}

/// Turns a vector of rows' scores s into 2^(s − largest), 0 where a row does not see the key; gives
/// the inverses of their sums and the natural log-sum-exps.
@inline(__always)
private func softmax<Scalar: KernelScalar>(
  _ scores: Pointer<Scalar>, _ step: Int, _ limits: AttentionLimits<Scalar>, _ row: Int,
  from start: Int, inverses: Pointer<Scalar>, logSums: Pointer<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let visible = limits.keys(row, count: Scalar.laneCount)
  let lowest = Lanes(-Scalar.infinity)
  var largest = lowest
  limits.walk(visible) { key, masked in
    let place = scores + (key &- start) &* step
    var score = Lanes(place)
    if masked {
      score = limits.shown(score, row, key: key, else: lowest)
    }
    largest = largest.larger(score)
  }
  // A row that sees nothing.
  largest = largest.kept(where: largest, exceeds: lowest, else: .zero)
  var sum = Lanes.zero
  limits.walk(visible) { key, masked in
    let place = scores + (key &- start) &* step
    var power = (Lanes(place) - largest).powerOfTwo()
    if masked { power = limits.shown(power, row, key: key, else: .zero) }
    power.store(to: place)
    sum = sum + power
  }
  // The two places hold what the logarithms need, before they get their results.
  (largest * Lanes(Scalar(naturalPerBinary))).store(to: inverses)
  sum.store(to: logSums)
  for lane in 0..<Scalar.laneCount { logSums[lane] = inverses[lane] + logSums[lane].logarithm }
  (Lanes(1) / sum).kept(where: sum, exceeds: .zero, else: .zero).store(to: inverses)
}
