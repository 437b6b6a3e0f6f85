// Attention backward: blocks of rows by blocks of keys, probabilities made again from log-sum-exp.

/// Keys whose probabilities are held at a time, a multiple of the tile's rows.
private let blockKeys = 512

@inline(__always)
func attendBackward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ gradient: AttentionGradientMemory,
  _ shape: AttentionShape, _ team: ThreadTeam
) where Scalar.Lanes: PowerLanes {
  let width = wholeVectors(type, shape.headWidth)
  let capacity = (shape.keyCapacity + tileRows) / tileRows * tileRows
  let block = 4 * Scalar.laneCount
  // Keys, values and their gradients; of a block of rows the queries and dO by row and across and
  // dq, probabilities and their gradients, and four numbers each.
  let elements =
    4 * width * capacity + block * (5 * width + 2 * min(capacity, blockKeys) + 4)
  team.run(shape.sequences * shape.keyValueHeads) { task, worker in
    let scratch = team.scratch(bytes: elements * MemoryLayout<Scalar>.stride, worker: worker)
    attendBackward(
      AttentionRows(
        sequence: task / shape.keyValueHeads, keyValueHead: task % shape.keyValueHeads, shape),
      memory, gradient, ScratchCursor<Scalar>(scratch))
  }
}

/// With P = softmax(S), S = scale · q·kᵀ, D_i = dO_i · o_i:
/// dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P ∘ (dP − D), dq = scale · dS·k, dk = scale · dSᵀ·q;
/// q is held as scale · q / ln 2, so that S is in units of ln 2.
@inline(__always)
private func attendBackward<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ memory: AttentionMemory, _ gradient: AttentionGradientMemory,
  _ scratch: ScratchCursor<Scalar>
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = (rows.keyCount + tileRows) / tileRows * tileRows
  let block = 4 * Scalar.laneCount
  var scratch = scratch
  let keyCopy = scratch.take(capacity, step: width)
  let valueCopy = scratch.take(capacity, step: width)
  let dk = scratch.take(capacity, step: width)
  let dv = scratch.take(capacity, step: width)
  let queries = scratch.take(block, step: width)
  let outputGradients = scratch.take(block, step: width)
  let dq = scratch.take(block, step: width)
  let queriesAcross = scratch.take(width, step: block)
  let outputGradientsAcross = scratch.take(width, step: block)
  let probabilities = scratch.take(min(capacity, blockKeys), step: block)
  let scoreGradients = scratch.take(min(capacity, blockKeys), step: block)
  let limitMemory = scratch.take(2, step: block)
  let logSums = scratch.take(1, step: block).base
  let dots = scratch.take(1, step: block).base
  let keys = rows.keys(memory.k, copy: keyCopy, rows: rows.count)
  let values = rows.keys(memory.v, copy: valueCopy, rows: rows.count)
  dk.base.update(repeating: 0, count: capacity * width)
  dv.base.update(repeating: 0, count: capacity * width)
  let scale = Lanes(Scalar(rows.shape.scale))
  let natural = Lanes(Scalar(naturalPerBinary))

  for first in stride(from: 0, to: rows.count, by: block) {
    let strip = first..<min(rows.count, first + block)
    let limits = AttentionLimits(rows, strip, capacity: block, memory: limitMemory)
    rows.pack(
      memory.q, strip, scale: rows.shape.scale / naturalPerBinary, into: queries,
      across: queriesAcross)
    rows.pack(
      gradient.dO, strip, scale: 1, into: outputGradients, across: outputGradientsAcross)
    dq.base.update(repeating: 0, count: block * width)
    logSums.update(repeating: 0, count: block)
    dots.update(repeating: 0, count: block)
    rows.forEachLogSum(Scalar.self, strip, of: memory.logSumExp) { i, place in
      logSums[i] = place.pointee / Scalar(naturalPerBinary)
    }
    rows.forEach(Scalar.self, strip, of: memory.o) { i, output in
      dots[i] = dotLanes(headWidth, outputGradients[i, 0], output)
    }
    let seen = limits.keys(0, count: strip.count).any
    var from = seen.lowerBound & ~(tileRows - 1)
    while from < seen.upperBound {
      let columns = from..<min(from + blockKeys, seen.upperBound)
      multiplyKeys(
        keys, queriesAcross, into: probabilities, from: from, columns, limits, depth: headWidth)
      multiplyKeys(
        values, outputGradientsAcross, into: scoreGradients, from: from, columns, limits,
        depth: headWidth)
      for row in stride(from: 0, to: strip.count, by: Scalar.laneCount) {
        differentiate(
          probabilities[0, row], scoreGradients[0, row], block, limits, row, columns,
          logSums: Lanes(logSums + row), dots: Lanes(dots + row))
      }
      for row in stride(from: 0, to: strip.count, by: tileRows) {
        let own = limits.keys(row, count: min(tileRows, strip.count - row)).any
          .clamped(to: columns)
        multiplyEightRows(
          TileRows(
            base: scoreGradients[own.lowerBound - from, row], rowStep: 1, depthStep: block),
          TileColumns(base: keys[own.lowerBound, 0], step: keys.step),
          into: TileColumns(base: dq[row, 0], step: width), depth: own.count, columns: width,
          accumulate: true)
      }
      for key in stride(from: from, to: columns.upperBound, by: tileRows) {
        let range = limits.rows(seeing: key..<key + tileRows)
        let weights = (key - from) * block + range.lowerBound
        multiplyEightRows(
          TileRows(base: probabilities.base + weights, rowStep: block, depthStep: 1),
          TileColumns(base: outputGradients[range.lowerBound, 0], step: width),
          into: TileColumns(base: dv[key, 0], step: width), depth: range.count, columns: width,
          accumulate: true)
        multiplyEightRows(
          TileRows(base: scoreGradients.base + weights, rowStep: block, depthStep: 1),
          TileColumns(base: queries[range.lowerBound, 0], step: width),
          into: TileColumns(base: dk[key, 0], step: width), depth: range.count, columns: width,
          accumulate: true)
      }
      from += blockKeys
    }
    rows.forEach(Scalar.self, strip, of: gradient.dq) { i, target in
      forLanes(Scalar.self, headWidth) { c, n in
        target.set(c, n, dq[i, 0].lanes(c, n) * scale)
      }
    }
  }
  for key in 0..<rows.keyCount {
    let dkTarget = rows.start(Scalar.self, ofKey: key, in: gradient.dk)
    let dvTarget = rows.start(Scalar.self, ofKey: key, in: gradient.dv)
    forLanes(Scalar.self, headWidth) { c, n in
      dkTarget.set(c, n, dk[key, 0].lanes(c, n) * natural)
      dvTarget.set(c, n, dv[key, 0].lanes(c, n))
    }
  }
  for key in rows.keyCount..<rows.shape.keyCapacity {
    for matrix in [gradient.dk, gradient.dv] {
      rows.start(Scalar.self, ofKey: key, in: matrix).update(repeating: 0, count: headWidth)
    }
  }
}

/// For a vector of rows: scores become probabilities p, and dp becomes p·(dp − dot), 0 where a row
/// does not see the key.
@inline(__always)
private func differentiate<Scalar: KernelScalar>(
  _ scores: Pointer<Scalar>, _ gradients: Pointer<Scalar>, _ step: Int,
  _ limits: AttentionLimits<Scalar>, _ row: Int, _ columns: Range<Int>, logSums: Scalar.Lanes,
  dots: Scalar.Lanes
) where Scalar.Lanes: PowerLanes {
  typealias Lanes = Scalar.Lanes
  let visible = limits.keys(row, count: Scalar.laneCount)
  // dk and dv read whole tiles of keys, and rows that stand between those that see them.
  let read = visible.any.clamped(to: columns).wholeTiles
  for key in columns.lowerBound..<read.lowerBound {
    let offset = (key &- columns.lowerBound) &* step
    Lanes.zero.store(to: scores + offset)
    Lanes.zero.store(to: gradients + offset)
  }
  limits.walk((any: read, all: visible.all)) { key, masked in
    let offset = (key &- columns.lowerBound) &* step
    var p = (Lanes(scores + offset) - logSums).powerOfTwo()
    var ds = p * (Lanes(gradients + offset) - dots)
    if masked {
      p = limits.shown(p, row, key: key, else: .zero)
      ds = limits.shown(ds, row, key: key, else: .zero)
    }
    p.store(to: scores + offset)
    ds.store(to: gradients + offset)
  }
}
