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
  let capacity = tileRoom(shape.keyCapacity)
  // Keys and values; of a block of rows the queries by row and across, scores, outputs, and two
  // numbers each.
  let elements = 2 * width * capacity + block * (3 * width + capacity + 2)
  let vectorBytes = RowVectors<Scalar>.bytes(shape)
  let bytes = vectorBytes + elements * MemoryLayout<Scalar>.stride
  // Every worker's memory begins with room for the vectors; the caller's holds them.
  let vectors = RowVectors<Scalar>(shape, memory: team.scratch(bytes: bytes, worker: 0))
  let perTask = taskRows / Scalar.laneCount
  let chunks = (vectors.most(shape) + perTask - 1) / perTask
  team.run(shape.sequences * shape.keyValueHeads * chunks) { task, worker in
    let scratch = team.scratch(bytes: bytes, worker: worker) + vectorBytes
    let head = task / chunks
    let sequence = head / shape.keyValueHeads
    // Late rows see most keys: they come first.
    attend(
      AttentionRows(sequence: sequence, keyValueHead: head % shape.keyValueHeads, shape),
      vectors.block(sequence, first: (chunks - 1 - task % chunks) * perTask, count: perTask),
      memory, ScratchCursor<Scalar>(scratch))
  }
}

@inline(__always)
private func attend<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ part: RowBlock<Scalar>, _ memory: AttentionMemory,
  _ scratch: ScratchCursor<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = tileRoom(rows.keyCount)
  let lanes = Scalar.laneCount
  let step = 2 * lanes
  var scratch = scratch
  let keyCopy = scratch.take(capacity, step: width)
  let valueCopy = scratch.take(capacity, step: width)
  let queries = scratch.take(step, step: width)
  let queriesAcross = scratch.take(width, step: step)
  let scores = scratch.take(capacity, step: step)
  let outputs = scratch.take(step, step: width)
  let inverses = scratch.take(1, step: step).base
  let logSums = scratch.take(1, step: step).base
  let keys = rows.keys(memory.k, copy: keyCopy, for: part)
  let values = rows.keys(memory.v, copy: valueCopy, for: part)

  var first = 0
  while first < part.count {
    let block = part.start(first, most: 2)
    first += block.count
    let visible = block.seen
    let start = block.firstKey(of: rows.keyCount)
    rows.pack(
      memory.q, block, scale: rows.scale / naturalPerBinary, into: queries,
      across: queriesAcross)
    block.multiply(keys, queriesAcross, into: scores, from: start, visible, depth: headWidth)
    for vector in 0..<block.count {
      let lane = vector * lanes
      softmax(
        scores[0, lane], step, block.vectors + vector, from: start, inverses: inverses + lane,
        logSums: logSums + lane)
    }
    block.sumKeys(
      scores, from: start, visible, values, into: outputs, width: width, accumulate: false)
    for vector in 0..<block.count {
      let lane = vector * lanes
      rows.forEachLogSum(block.vectors + vector, of: memory.logSumExp) { i, place in
        place.pointee = logSums[lane &+ i]
      }
    }
    rows.unpack(outputs, factors: inverses, block, into: memory.o)
  }
}

/// Turns a vector of rows' scores s into 2^(s − largest), 0 where a row does not see the key; gives
/// the inverses of their sums and the natural log-sum-exps.
@inline(never)
private func softmax<Scalar: KernelScalar>(
  _ scores: Pointer<Scalar>, _ step: Int, _ rows: UnsafeMutablePointer<RowVector<Scalar>>,
  from start: Int, inverses: Pointer<Scalar>, logSums: Pointer<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let limits = rows.pointee
  let visible = limits.keys
  let lowest = Lanes(-Scalar.infinity)
  var largest = lowest
  let (before, behind) = (limits.before, limits.behind)
  for part in 0..<3 {
    let keys = visible.part(part, of: visible.any)
    var place = scores + (keys.lowerBound &- start) &* step
    var key = Lanes(Scalar(keys.lowerBound))
    for _ in keys {
      var score = Lanes(place)
      if part != 1 {
        score = score.kept(where: behind, exceeds: key, else: lowest)
          .kept(where: key, exceeds: before, else: lowest)
      }
      largest = largest.larger(score)
      place += step
      key = key + Lanes(1)
    }
  }
  // A row that sees nothing.
  largest = largest.kept(where: largest, exceeds: lowest, else: .zero)
  var sum = Lanes.zero
  for part in 0..<3 {
    let keys = visible.part(part, of: visible.any)
    var place = scores + (keys.lowerBound &- start) &* step
    var key = Lanes(Scalar(keys.lowerBound))
    for _ in keys {
      var power = (Lanes(place) - largest).powerOfTwo()
      if part != 1 {
        power = power.kept(where: behind, exceeds: key, else: .zero)
          .kept(where: key, exceeds: before, else: .zero)
      }
      power.store(to: place)
      sum = sum + power
      place += step
      key = key + Lanes(1)
    }
  }
  (largest * Lanes(Scalar(naturalPerBinary)) + sum.logarithm()).store(to: logSums)
  (Lanes(1) / sum).kept(where: sum, exceeds: .zero, else: .zero).store(to: inverses)
}
