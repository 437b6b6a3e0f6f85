// Attention backward: blocks of rows by blocks of keys, probabilities made again from log-sum-exp.

/// Keys whose probabilities are held at a time, a multiple of the tile's rows.
private let blockKeys = 512

@inline(__always)
func attendBackward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ gradient: AttentionGradientMemory,
  _ shape: AttentionShape, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  let width = wholeVectors(type, shape.headWidth)
  let capacity = tileRoom(shape.keyCapacity)
  let block = 4 * Scalar.laneCount
  // Keys, values and their gradients; of a block of rows the queries and dO by row and across and
  // dq, probabilities and their gradients, and three numbers each.
  let elements =
    4 * width * capacity + block * (5 * width + 2 * min(capacity, blockKeys) + 3)
  let vectorBytes = RowVectors<Scalar>.bytes(shape)
  let bytes = vectorBytes + elements * MemoryLayout<Scalar>.stride
  // Every worker's memory begins with room for the vectors; the caller's holds them.
  let vectors = RowVectors<Scalar>(shape, memory: team.scratch(bytes: bytes, worker: 0))
  team.run(shape.sequences * shape.keyValueHeads) { task, worker in
    let scratch = team.scratch(bytes: bytes, worker: worker) + vectorBytes
    let sequence = task / shape.keyValueHeads
    attendBackward(
      AttentionRows(sequence: sequence, keyValueHead: task % shape.keyValueHeads, shape),
      vectors.block(sequence, first: 0, count: .max), memory, gradient,
      ScratchCursor<Scalar>(scratch))
  }
}

/// With P = softmax(S), S = scale · q·kᵀ, D_i = dO_i · o_i:
/// dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P ∘ (dP − D), dq = scale · dS·k, dk = scale · dSᵀ·q;
/// q is held as scale · q / ln 2, so that S is in units of ln 2.
@inline(__always)
private func attendBackward<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ all: RowBlock<Scalar>, _ memory: AttentionMemory,
  _ gradient: AttentionGradientMemory, _ scratch: ScratchCursor<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = tileRoom(rows.keyCount)
  let lanes = Scalar.laneCount
  let step = 4 * lanes
  var scratch = scratch
  let keyCopy = scratch.take(capacity, step: width)
  let valueCopy = scratch.take(capacity, step: width)
  let dk = scratch.take(capacity, step: width)
  let dv = scratch.take(capacity, step: width)
  let queries = scratch.take(step, step: width)
  let outputGradients = scratch.take(step, step: width)
  let dq = scratch.take(step, step: width)
  let queriesAcross = scratch.take(width, step: step)
  let outputGradientsAcross = scratch.take(width, step: step)
  let probabilities = scratch.take(min(capacity, blockKeys), step: step)
  let scoreGradients = scratch.take(min(capacity, blockKeys), step: step)
  let logSums = scratch.take(1, step: step).base
  let dots = scratch.take(1, step: step).base
  let scales = scratch.take(1, step: step).base
  let keys = rows.keys(memory.k, copy: keyCopy, for: all)
  let values = rows.keys(memory.v, copy: valueCopy, for: all)
  dk.base.update(repeating: 0, count: capacity * width)
  dv.base.update(repeating: 0, count: capacity * width)
  scales.update(repeating: Scalar(rows.scale), count: step)
  let natural = Lanes(Scalar(naturalPerBinary))

  var first = 0
  while first < all.count {
    let block = all.start(first, most: 4)
    first += block.count
    rows.pack(
      gradient.dO, block, scale: 1, into: outputGradients, across: outputGradientsAcross)
    rows.dot(
      outputGradients, memory.o, block, memory: dq, across: queriesAcross, into: dots)
    rows.pack(
      memory.q, block, scale: rows.scale / naturalPerBinary, into: queries,
      across: queriesAcross)
    for vector in 0..<block.count {
      let lane = vector * lanes
      rows.forEachLogSum(block.vectors + vector, of: memory.logSumExp) { i, place in
        logSums[lane &+ i] = place.pointee
      }
    }
    let seen = block.seen
    let start = block.firstKey(of: rows.keyCount)
    var from = start
    repeat {
      let columns = from..<max(from, min(from + blockKeys, seen.upperBound))
      block.multiply(
        keys, queriesAcross, into: probabilities, from: from, columns, depth: headWidth)
      block.multiply(
        values, outputGradientsAcross, into: scoreGradients, from: from, columns, depth: headWidth)
      for vector in 0..<block.count {
        let lane = vector * lanes
        differentiate(
          probabilities[0, lane], scoreGradients[0, lane], step, block.vectors + vector, columns,
          logSums: Lanes(logSums + lane) / natural, dots: Lanes(dots + lane))
      }
      block.sumKeys(
        scoreGradients, from: from, columns, keys, into: dq, width: width,
        accumulate: from > start)
      block.sumRows(
        RowSum(weights: probabilities, rows: outputGradients, sums: dv),
        RowSum(weights: scoreGradients, rows: queries, sums: dk), from: from, columns, width: width)
      from += blockKeys
    } while from < seen.upperBound
    rows.unpack(dq, factors: scales, block, into: gradient.dq)
  }
  rows.unpackKeys(dk, factor: Scalar(naturalPerBinary), into: gradient.dk)
  rows.unpackKeys(dv, factor: 1, into: gradient.dv)
}

/// For a vector of rows: scores become probabilities p, and dp becomes p·(dp − dot), 0 where a row
/// does not see the key.
@inline(never)
private func differentiate<Scalar: KernelScalar>(
  _ scores: Pointer<Scalar>, _ gradients: Pointer<Scalar>, _ step: Int,
  _ rows: UnsafeMutablePointer<RowVector<Scalar>>, _ columns: Range<Int>, logSums: Scalar.Lanes,
  dots: Scalar.Lanes
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let limits = rows.pointee
  let visible = limits.keys
  // dk and dv read whole tiles of keys.
  let seen = visible.any.clamped(to: columns).tiles(from: columns.lowerBound)
  let (before, behind) = (limits.before, limits.behind)
  for part in 0..<3 {
    let keys = visible.part(part, of: seen)
    var offset = (keys.lowerBound &- columns.lowerBound) &* step
    var key = Lanes(Scalar(keys.lowerBound))
    for _ in keys {
      var p = (Lanes(scores + offset) - logSums).powerOfTwo()
      var ds = p * (Lanes(gradients + offset) - dots)
      if part != 1 {
        p = p.kept(where: behind, exceeds: key, else: .zero)
          .kept(where: key, exceeds: before, else: .zero)
        ds = ds.kept(where: behind, exceeds: key, else: .zero)
          .kept(where: key, exceeds: before, else: .zero)
      }
      p.store(to: scores + offset)
      ds.store(to: gradients + offset)
      offset &+= step
      key = key + Lanes(1)
    }
  }
}
