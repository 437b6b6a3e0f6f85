// Collectives as differentiable operations, each named with its dual: the transpose of what it does.

import Glibc
import Kernels
import Tensors

/// Every rank records the same operations, so duals meet in the reverse order. What a rank computes
/// is its own share of a sum over ranks: no gradient is ever scaled by the size of a group.
extension Communicator {
  /// How many of `count` things fall to each rank.
  public func shares(of count: Int) -> [Int] {
    (0..<size).map { share(of: count, part: $0, of: size).count }
  }

  /// The part of `count` things that falls to this rank.
  public func ownShare(of count: Int) -> Range<Int> { share(of: count, part: rank, of: size) }

  /// Those of `count` items, which all ranks hold alike, whose terms this rank adds to the objective:
  /// index ≡ rank.
  public func ownItems(of count: Int) -> [Int] { Array(stride(from: rank, to: count, by: size)) }

  /// The sum over ranks, which all of them get: each then adds its own items' terms alone.
  ///
  /// It is its own dual.
  public func summed(_ x: Variable) -> Variable {
    guard size > 1 else { return x }
    let tape = x.tape
    func total(_ x: Tensor) -> Tensor {
      let y = tape.device.tensor(x.shape)
      copy(x.matrix, into: y.matrix, team: tape.team)
      sum(y.flat, team: tape.team)
      return y
    }
    return tape.result(total(x.value), from: [x]) { [dx = x.gradient] dy in dx?.add(total(dy)) }
  }

  /// The rows of all ranks, in rank order: [counts[rank], C] gives [Σ counts, C].
  ///
  /// Its dual is `reduceScattered`.
  public func allGathered(_ x: Variable, counts: [Int]) -> Variable {
    guard size > 1 else { return x }
    let tape = x.tape
    return tape.result(allGather(x.value, counts: counts, on: tape.device), from: [x]) {
      [dx = x.gradient] dy in
      dx?.add(self.reduceScatter(dy, counts: counts, on: tape.device))
    }
  }

  /// This rank's rows of the sum over ranks: [Σ counts, C] gives [counts[rank], C].
  ///
  /// Its dual is `allGathered`.
  public func reduceScattered(_ x: Variable, counts: [Int]) -> Variable {
    guard size > 1 else { return x }
    let tape = x.tape
    return tape.result(reduceScatter(x.value, counts: counts, on: tape.device), from: [x]) {
      [dx = x.gradient] dy in
      dx?.add(self.allGather(dy, counts: counts, on: tape.device))
    }
  }

  /// residual + this rank's rows of the sum over ranks of what `partial` computes.
  ///
  /// `partial` adds the residual itself where it is handed one: then nothing is left to sum.
  public func reduceScattered(
    counts: [Int], adding residual: Variable, _ partial: (Variable?) -> Variable
  ) -> Variable {
    guard size > 1 else { return partial(residual) }
    return Tensors.sum(residual, reduceScattered(partial(nil), counts: counts))
  }

  /// Of rows that all ranks hold alike, those that are this rank's to work on.
  ///
  /// The gradient of the other rows comes from the other ranks: summed later, never here.
  public func ownRows(_ x: Variable, counts: [Int]) -> Variable {
    guard size > 1 else { return x }
    let tape = x.tape
    let first = counts.offsets[rank]
    let own = x.value.slices(first, count: counts[rank])
    return tape.result(own, from: [x]) { [dx = x.gradient] dy in
      dx?.add { gradient, accumulate in
        if !accumulate { fill(gradient.matrix, 0, team: tape.team) }
        let rows = gradient.slices(first, count: dy.shape[0]).matrix
        Kernels.accumulate(dy.matrix, scale: 1, into: rows, team: tape.team)
      }
    }
  }

  /// Some rows of x, of which ranks share `count`, in the order in which they are `wanted`, shared anew.
  public func rows(_ wanted: [Int32], of x: Variable, count: Int) -> Variable {
    guard size > 1 else { return select(x, rows: wanted) }
    let own = ownShare(of: count)
    let chosen = select(
      x, rows: wanted.filter { own.contains(Int($0)) }.map { $0 - Int32(own.lowerBound) })
    let parts = (0..<size).map { part in
      let rows = share(of: count, part: part, of: size)
      return wanted.indices.filter { rows.contains(Int(wanted[$0])) }
    }
    // Where each arrives: by the rank that had it.
    var arrival = [Int32](repeating: 0, count: wanted.count)
    for (place, row) in parts.joined().enumerated() { arrival[row] = Int32(place) }
    return select(
      allGathered(chosen, counts: parts.map(\.count)),
      rows: Array(arrival[ownShare(of: wanted.count)]))
  }

  /// RMS norm over a width that is split over the group: y = w · x / √(Σ x² / width + ε), where the
  /// sum runs over the slices of all ranks and each rank normalises its own slice.
  ///
  /// Both passes sum one number a row over ranks; such a sum is its own dual.
  public func rmsNorm(
    _ x: Variable, _ weight: Variable, epsilon: Double, width: Int
  ) -> Variable {
    guard size > 1 else { return Tensors.rmsNorm(x, weight, epsilon: epsilon) }
    let tape = x.tape
    let device = tape.device
    let team = tape.team
    let w = weight.value.reshaped([1, weight.value.count]).matrix
    let rows = x.value.rows
    func summedDots(_ a: Tensor, _ b: Tensor) -> [Double] {
      let dots = device.tensor([rows, 1])
      rowDots(a.matrix, b.matrix, into: dots.matrix, accumulate: false, team: team)
      sum(dots.flat, team: team)
      return dots.elements
    }
    let inverse = summedDots(x.value, x.value).map {
      1 / ($0 / Double(width) + epsilon).squareRoot()
    }
    let y = device.tensor(x.shape)
    rmsNormAgain(
      x.value.matrix, weight: w, inverseRMS: device.tensor([rows, 1], inverse).matrix,
      into: y.matrix, team: team)
    return tape.result(y, from: [x, weight]) {
      [saved = x.saved, dx = x.gradient, dw = weight.gradient, held = weight.value] dy in
      let x = saved.tensor
      let w = held.reshaped([1, held.count]).matrix
      // h = w · dy; dx = r·h − x·r³·Σ(h·x) / width
      let h = device.tensor(dy.shape)
      let ones = device.tensor([rows, 1], filledWith: 1)
      rmsNormAgain(dy.matrix, weight: w, inverseRMS: ones.matrix, into: h.matrix, team: team)
      let dots = summedDots(h, x)
      let r = device.tensor([rows, 1], inverse)
      if let dw {
        let products = device.tensor(dy.shape)
        multiply(dy.matrix, x.matrix, into: products.matrix, team: team)
        scaleRows(
          products.matrix, by: r.matrix, into: products.matrix, accumulate: false, team: team)
        dw.add { gradient, accumulate in
          sumRows(
            products.matrix, into: gradient.reshaped([1, gradient.count]).matrix,
            accumulate: accumulate, team: team)
        }
      }
      let shrink = device.tensor(
        [rows, 1], zip(inverse, dots).map { -$0 * $0 * $0 * $1 / Double(width) })
      scaleRows(h.matrix, by: r.matrix, into: h.matrix, accumulate: false, team: team)
      scaleRows(x.matrix, by: shrink.matrix, into: h.matrix, accumulate: true, team: team)
      dx?.add(h)
    }
  }

  /// log softmax(logits)[label] of this rank's rows, where each rank holds a slice of the columns of
  /// all rows: [Σ counts, V / ranks] gives [counts[rank], 1]; label −100 gives 0 and no gradient.
  ///
  /// Two numbers a row travel each way, never logits: each slice's log-sum-exp and label's logit to
  /// the row's owner, its gradient and the whole log-sum-exp back to all. `labels` are of all rows.
  public func tokenLogProbabilities(
    _ logits: Variable, labels: [Int32], firstColumn: Int, counts: [Int]
  ) -> Variable {
    guard size > 1 else { return Tensors.tokenLogProbabilities(logits, labels: labels) }
    let tape = logits.tape
    let device = tape.device
    let team = tape.team
    let rows = logits.value.rows
    let own = counts[rank]
    let ownLabels = labels[counts.offsets[rank]..<counts.offsets[rank] + own]
    let (logit, sliceSum) = (device.tensor([rows, 1]), device.tensor([rows, 1]))
    labelLogits(
      logits.value.matrix, labels: labels, firstColumn: firstColumn, into: logit.matrix,
      logSumExp: sliceSum.matrix, team: team)
    let received = device.tensor([own * size, 2])
    exchange(
      device.pairs(logit.elements, sliceSum.elements).matrix, counts: counts,
      into: received.matrix, counts: Array(repeating: own, count: size))
    let parts = received.elements
    var total: [Double] = []
    var logProbabilities: [Double] = []
    for (row, label) in ownLabels.enumerated() {
      let sums = (0..<size).map { parts[(2 * ($0 * own + row)) + 1] }
      let highest = sums.max()!
      total.append(highest + log(sums.reduce(0) { $0 + exp($1 - highest) }))
      let ownLogit = (0..<size).reduce(0) { $0 + parts[2 * ($1 * own + row)] }
      logProbabilities.append(label == -100 ? 0 : ownLogit - total[row])
    }
    return tape.result(device.tensor([own, 1], logProbabilities), from: [logits]) {
      [saved = logits.saved, slot = logits.gradient] dy in
      let all = self.allGather(
        device.pairs(dy.elements, total), counts: counts, on: device
      ).elements
      let upstream = device.tensor([rows, 1], (0..<rows).map { all[2 * $0] })
      let logSumExp = device.tensor([rows, 1], (0..<rows).map { all[2 * $0 + 1] })
      let own = saved.overwritable()
      let input = saved.tensor
      let gradient = own ?? device.tensor(input.shape)
      tokenLogProbabilitiesGradient(
        upstream.matrix, logits: input.matrix, labels: labels, firstColumn: firstColumn,
        logSumExp: logSumExp.matrix, into: gradient.matrix, team: team)
      slot?.add(gradient)
    }
  }

  /// D(p‖q) = Σ_v p_v (ln p_v − ln q_v) of this rank's rows, where each rank holds a slice of the
  /// columns of all rows of p's and q's logits: [Σ counts, V / ranks] gives [counts[rank], 1];
  /// without `reference` Σ_v p_v ln p_v, minus the entropy. The reference gets no gradient.
  ///
  /// A few numbers a row travel, never logits.
  public func relativeEntropy(
    of logits: Variable, to reference: Tensor?, counts: [Int]
  ) -> Variable {
    guard size > 1 else {
      return reference.map { Tensors.relativeEntropy(of: logits, to: $0) }
        ?? scaled(entropy(of: logits), by: -1)
    }
    let tape = logits.tape
    let device = tape.device
    let team = tape.team
    let rows = logits.value.rows
    func wholeLogSumExp(_ slice: Tensor) -> Tensor {
      let own = device.tensor([rows, 1])
      logSumExp(slice.matrix, into: own.matrix, team: team)
      let values = own.elements
      let highest = maximum(values)
      let sums = sum(zip(values, highest).map { exp($0 - $1) })
      return device.tensor([rows, 1], zip(sums, highest).map { log($0) + $1 })
    }
    let pSum = wholeLogSumExp(logits.value)
    let q = reference.map { (logits: $0, logSumExp: wholeLogSumExp($0)) }
    func other() -> Categorical? {
      q.map { Categorical(logits: $0.logits.matrix, logSumExp: $0.logSumExp.matrix) }
    }
    let divergence = device.tensor([rows, 1])
    Kernels.relativeEntropy(
      of: Categorical(logits: logits.value.matrix, logSumExp: pSum.matrix), to: other(),
      into: divergence.matrix, team: team)
    sum(divergence.flat, team: team)
    let first = counts.offsets[rank]
    let own = device.tensor([counts[rank], 1])
    copy(divergence.slices(first, count: counts[rank]).matrix, into: own.matrix, team: team)
    return tape.result(own, from: [logits]) {
      [saved = logits.saved, slot = logits.gradient] dy in
      let upstream = self.allGather(dy, counts: counts, on: device)
      let input = saved.tensor
      let gradient = device.tensor(input.shape)
      relativeEntropyGradient(
        upstream.matrix, of: Categorical(logits: input.matrix, logSumExp: pSum.matrix),
        to: other(), divergence: divergence.matrix, into: gradient.matrix, team: team)
      slot?.add(gradient)
    }
  }
}

// MARK: - Tensors in, tensors out; not recorded

extension Communicator {
  /// The rows of all ranks, in rank order. Alone it is x itself, not to be written into.
  public func allGather(_ x: Tensor, counts: [Int], on device: Device) -> Tensor {
    guard size > 1 else { return x }
    let y = device.tensor(x.shape.replacing(first: counts.reduce(0, +)))
    allGather(x.matrix, into: y.matrix, counts: counts)
    return y
  }

  /// The columns of all ranks side by side: [T, columns[rank]] gives [T, Σ columns]. Alone it is x
  /// itself, not to be written into.
  public func allGatherColumns(_ x: Tensor, columns: [Int], on device: Device) -> Tensor {
    guard size > 1 else { return x }
    let rows = x.rows
    let blocks = allGather(
      x.reshaped([x.count, 1]), counts: columns.map { $0 * rows }, on: device)
    let y = device.tensor([rows, columns.reduce(0, +)])
    for (count, first) in zip(columns, columns.offsets) where rows > 0 && count > 0 {
      let block = blocks.slices(first * rows, count: count * rows).reshaped([rows, count])
      copy(block.matrix, into: y.matrix.columns(first, count: count), team: device.team)
    }
    return y
  }

  /// Every rank's numbers, one rank's after another's; each gives equally many.
  public func allGather(_ values: [Int]) -> [Int] {
    exchange((0..<size).flatMap { _ in values })
  }

  /// The sum of each number over the ranks before this one.
  public func sumBefore(_ values: [Int]) -> [Int] {
    let all = allGather(values)
    return values.indices.map { index in
      (0..<rank).reduce(0) { $0 + all[$1 * values.count + index] }
    }
  }

  /// The numbers of all ranks, in rank order: `counts[r]` of rank r.
  public func allGather(_ values: [Int32], counts: [Int]) -> [Int32] {
    var whole = [Int32](repeating: 0, count: counts.reduce(0, +))
    let first = counts.offsets[rank]
    whole.replaceSubrange(first..<first + values.count, with: values)
    whole.withUnsafeMutableBytes { memory in
      allGather(
        memory.baseAddress ?? noMemory, counts: counts.map { $0 * MemoryLayout<Int32>.stride },
        as: .allGather)
    }
    return whole
  }

  private func reduceScatter(_ x: Tensor, counts: [Int], on device: Device) -> Tensor {
    let y = device.tensor(x.shape.replacing(first: counts[rank]))
    reduceScatter(x.matrix, counts: counts, into: y.matrix, team: device.team)
    return y
  }
}

extension Device {
  /// a and b side by side: [count, 2].
  fileprivate func pairs(_ a: [Double], _ b: [Double]) -> Tensor {
    tensor([a.count, 2], zip(a, b).flatMap { [$0, $1] })
  }
}
