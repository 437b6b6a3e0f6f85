// Attention backward: blocks of rows by blocks of keys, probabilities made again from log-sum-exp.

/// Rows whose probabilities are held at a time.
private let blockRows = 64
/// Keys whose probabilities are held at a time.
private let blockKeys = 512

@inline(__always)
func attendBackward<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ memory: AttentionMemory, _ gradient: AttentionGradientMemory,
  _ shape: AttentionShape, _ team: ThreadTeam
) {
  guard shape.sequences > 0 else { return }
  let width = wholeVectors(type, shape.headWidth)
  let capacity = wholeVectors(type, shape.keyCapacity)
  let block = min(capacity, blockKeys)
  // Keys and values transposed, keys and both gradients by row; of a block of rows the queries, dO
  // and dq, probabilities and their gradients, and two numbers each.
  let elements = 5 * width * capacity + blockRows * (3 * width + 2 * block + 2)
  team.run(shape.sequences * shape.keyValueHeads) { task, worker in
    let scratch = team.scratch(bytes: elements * MemoryLayout<Scalar>.stride, worker: worker)
      .assumingMemoryBound(to: type)
    attendBackward(AttentionRows(task: task, shape), memory, gradient, scratch, block)
  }
}

/// With P = softmax(S), S = q·kᵀ (q scaled), D_i = dO_i · o_i:
/// dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P ∘ (dP − D), dq = scale · dS·k, dk = dSᵀ·q.
@inline(__always)
private func attendBackward<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ memory: AttentionMemory, _ gradient: AttentionGradientMemory,
  _ scratch: Pointer<Scalar>, _ block: Int
) {
  let headWidth = rows.headWidth
  let width = wholeVectors(Scalar.self, headWidth)
  let capacity = wholeVectors(Scalar.self, rows.keyCount)
  var free = scratch
  func take(_ count: Int, step: Int) -> TileColumns<Scalar> {
    defer { free += count * step }
    return TileColumns(base: free, step: step)
  }
  let keysAcross = take(width, step: capacity)
  let valuesAcross = take(width, step: capacity)
  let spare = take(capacity, step: width)
  let dk = take(capacity, step: width)
  let dv = take(capacity, step: width)
  let queries = take(blockRows, step: width)
  let outputGradients = take(blockRows, step: width)
  let dq = take(blockRows, step: width)
  let probabilities = take(blockRows, step: block)
  let scoreGradients = take(blockRows, step: block)
  let logSums = take(1, step: blockRows).base
  let dots = take(1, step: blockRows).base
  rows.packTransposed(memory.k, into: keysAcross)
  rows.packTransposed(memory.v, into: valuesAcross)
  let keys = rows.wholeVectors(memory.k, copy: spare)
  dk.base.update(repeating: 0, count: capacity * width)
  dv.base.update(repeating: 0, count: capacity * width)
  let scale = Scalar(rows.shape.scale)

  for first in stride(from: 0, to: rows.count, by: blockRows) {
    let range = first..<min(rows.count, first + blockRows)
    rows.pack(memory.q, range, scale: scale, into: queries, capacity: blockRows)
    rows.pack(gradient.dO, range, scale: 1, into: outputGradients, capacity: blockRows)
    dq.base.update(repeating: 0, count: blockRows * width)
    for (i, row) in range.enumerated() {
      logSums[i] = rows.logSumExp(Scalar.self, of: row, in: memory.logSumExp).pointee
      dots[i] = dotLanes(
        headWidth, outputGradients[i, 0], rows.start(Scalar.self, of: row, in: memory.o))
    }
    let seen = rows.visibleKeys(range)
    var from = seen.lowerBound & ~(Scalar.laneCount - 1)
    while from < seen.upperBound {
      let columns = from..<min(from + block, seen.upperBound)
      for strip in stride(from: 0, to: range.count, by: tileRows) {
        let stripRows = first + strip..<min(first + strip + tileRows, range.upperBound)
        let visible = rows.visibleKeys(stripRows).clamped(to: columns)
        let p = TileColumns(base: probabilities[strip, 0], step: block)
        let ds = TileColumns(base: scoreGradients[strip, 0], step: block)
        let start = visible.lowerBound & ~(Scalar.laneCount - 1)
        let across = wholeVectors(Scalar.self, visible.upperBound - start)
        multiplyEightRows(
          TileRows(base: queries[strip, 0], rowStep: width, depthStep: 1),
          TileColumns(base: keysAcross[0, start], step: capacity),
          into: TileColumns(base: p[0, start - from], step: block), depth: headWidth,
          columns: across, accumulate: false)
        multiplyEightRows(
          TileRows(base: outputGradients[strip, 0], rowStep: width, depthStep: 1),
          TileColumns(base: valuesAcross[0, start], step: capacity),
          into: TileColumns(base: ds[0, start - from], step: block), depth: headWidth,
          columns: across, accumulate: false)
        for i in 0..<tileRows {
          let row = first + strip + i
          let own =
            row < range.upperBound
            ? rows.visibleKeys(row).clamped(to: columns) : columns.lowerBound..<columns.lowerBound
          differentiate(
            p[i, 0], ds[i, 0], own.lowerBound - from..<own.upperBound - from,
            zeroed: wholeVectors(Scalar.self, columns.count), logSum: logSums[strip + i],
            dot: dots[strip + i])
        }
        multiplyEightRows(
          TileRows(base: ds[0, visible.lowerBound - from], rowStep: block, depthStep: 1),
          TileColumns(base: keys[visible.lowerBound, 0], step: keys.step),
          into: TileColumns(base: dq[strip, 0], step: width), depth: visible.count, columns: width,
          accumulate: true)
      }
      addTransposed(
        rows, range, columns, probabilities, outputGradients, into: dv, from: from)
      addTransposed(rows, range, columns, scoreGradients, queries, into: dk, from: from)
      from += block
    }
    for (i, row) in range.enumerated() {
      let target = rows.start(Scalar.self, of: row, in: gradient.dq)
      let factor = Scalar.Lanes(scale)
      forLanes(Scalar.self, headWidth) { c, n in
        target.set(c, n, dq[i, 0].lanes(c, n) * factor)
      }
    }
  }
  for key in 0..<rows.shape.keyCapacity {
    let dkTarget = rows.start(Scalar.self, ofKey: key, in: gradient.dk)
    let dvTarget = rows.start(Scalar.self, ofKey: key, in: gradient.dv)
    if key < rows.keyCount {
      dkTarget.update(from: dk[key, 0], count: headWidth)
      dvTarget.update(from: dv[key, 0], count: headWidth)
    } else {
      dkTarget.update(repeating: 0, count: headWidth)
      dvTarget.update(repeating: 0, count: headWidth)
    }
  }
}

/// Of one row: scores become probabilities p, and dp becomes p·(dp − dot), over the visible keys;
/// zeros elsewhere.
@inline(__always)
private func differentiate<Scalar: KernelScalar>(
  _ p: Pointer<Scalar>, _ dp: Pointer<Scalar>, _ visible: Range<Int>, zeroed: Int, logSum: Scalar,
  dot: Scalar
) {
  let shift = Scalar.Lanes(logSum)
  let dot = Scalar.Lanes(dot)
  let (pSeen, dpSeen) = (p + visible.lowerBound, dp + visible.lowerBound)
  forLanes(Scalar.self, visible.count) { i, n in
    let e = (pSeen.lanes(i, n) - shift).exponential()
    pSeen.set(i, n, e)
    dpSeen.set(i, n, e * (dpSeen.lanes(i, n) - dot))
  }
  p.update(repeating: 0, count: visible.lowerBound)
  dp.update(repeating: 0, count: visible.lowerBound)
  (p + visible.upperBound).update(repeating: 0, count: zeroed - visible.upperBound)
  (dp + visible.upperBound).update(repeating: 0, count: zeroed - visible.upperBound)
}

/// target[keys] += weights[rows, keys]ᵀ · factors[rows].
@inline(__always)
private func addTransposed<Scalar: KernelScalar>(
  _ rows: AttentionRows, _ range: Range<Int>, _ keys: Range<Int>, _ weights: TileColumns<Scalar>,
  _ factors: TileColumns<Scalar>, into target: TileColumns<Scalar>, from: Int
) {
  let end = (range.count + tileRows - 1) / tileRows * tileRows
  var start = 0
  for key in stride(from: keys.lowerBound, to: keys.upperBound, by: tileRows) {
    // Strips of rows that end before this key add nothing.
    while start + tileRows < end
      && rows.visibleKeys(range.lowerBound + start + tileRows - 1).upperBound <= key
    {
      start += tileRows
    }
    multiplyEightRows(
      TileRows(base: weights[start, key - from], rowStep: 1, depthStep: weights.step),
      TileColumns(base: factors[start, 0], step: factors.step),
      into: TileColumns(base: target[key, 0], step: target.step), depth: end - start,
      columns: target.step, accumulate: true)
  }
}
