// Draws one token of each row of logits, in Double and in a fixed order.

/// Which tokens may be drawn.
public struct DrawRule: Sendable, Equatable {
  /// Divides the logits; 0 takes the most probable token.
  public var temperature: Double
  /// Only the k most probable tokens; 0 is all.
  public var topK: Int
  /// Only the most probable tokens whose probabilities reach this sum; 1 is all.
  public var topP: Double

  public init(temperature: Double, topK: Int, topP: Double) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
  }
}

/// A token of each row by inverting the cumulative distribution at the row's number in [0, 1).
///
/// The distribution runs over tokens in their order, or, where some are left out, by falling
/// probability, ties to the lower token. topP counts within the topK.
public func drawTokens(
  _ logits: Matrix, at draws: [Double], _ rule: DrawRule, into tokens: inout [Int32],
  team: ThreadTeam
) {
  require(
    draws.count == logits.rows && tokens.count == logits.rows && logits.columns > 0,
    "\(draws.count) draws of \(tokens.count) tokens from \(logits.rows) × \(logits.columns) logits")
  draws.withUnsafeBufferPointer { draws in
    tokens.withUnsafeMutableBufferPointer { tokens in
      // Rows are drawn apart from each other; the closure must not catch the inout.
      let places = tokens.baseAddress
      switch logits.precision {
      case .float32: draw(Float.self, logits, draws, rule, places, team)
      case .float64: draw(Double.self, logits, draws, rule, places, team)
      }
    }
  }
}

@inline(__always)
private func draw<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ logits: Matrix, _ draws: UnsafeBufferPointer<Double>, _ rule: DrawRule,
  _ tokens: Pointer<Int32>?, _ team: ThreadTeam
) {
  guard let tokens else { return }
  let count = logits.columns
  let perTask = max(1, 4096 / count)
  team.run((logits.rows + perTask - 1) / perTask) { task, worker in
    let scratch = DrawScratch(
      team.scratch(bytes: DrawScratch.bytes(count), worker: worker), count: count)
    for row in task * perTask..<min(logits.rows, (task + 1) * perTask) {
      let source = logits.row(type, row)
      let highest: Scalar = largest(count, source)
      guard rule.temperature > 0 else {
        tokens[row] = Int32((0..<count).first { source[$0] == highest } ?? 0)
        continue
      }
      scratch.setWeights(source, highest: highest, temperature: rule.temperature)
      let isWhole = rule.topK == 0 && rule.topP >= 1
      tokens[row] = Int32(
        isWhole
          ? scratch.token(at: draws[row])
          : scratch.token(at: draws[row], source, highest: highest, rule))
    }
  }
}

/// Memory of one row's draw: weights in Double, their sums in runs of 64 tokens, and each token's
/// rung on a coarse ladder of probabilities.
private struct DrawScratch {
  private static let runLength = 64
  private static let rungs = 256
  private let count: Int
  private let weights, sums, masses: Pointer<Double>
  private let order, sizes: Pointer<Int32>
  private let ladder: Pointer<UInt8>

  static func bytes(_ count: Int) -> Int {
    count * 13 + (count / runLength + 1) * 8 + rungs * 12 + 64
  }

  init(_ memory: UnsafeMutableRawPointer, count: Int) {
    self.count = count
    weights = memory.assumingMemoryBound(to: Double.self)
    sums = weights + count
    masses = sums + (count / Self.runLength + 1)
    order = UnsafeMutableRawPointer(masses + Self.rungs).assumingMemoryBound(to: Int32.self)
    sizes = order + count
    ladder = UnsafeMutableRawPointer(sizes + Self.rungs).assumingMemoryBound(to: UInt8.self)
  }

  private var runs: Int { (count + Self.runLength - 1) / Self.runLength }
  private func run(_ index: Int) -> Range<Int> {
    index * Self.runLength..<min(count, (index + 1) * Self.runLength)
  }

  /// w = e^((logit − highest) / temperature), and the sums of the runs.
  @inline(__always)
  func setWeights<Scalar: KernelScalar>(
    _ source: Pointer<Scalar>, highest: Scalar, temperature: Double
  ) {
    let top = highest.asDouble
    for i in 0..<count { weights[i] = (source[i].asDouble - top) / temperature }
    for index in 0..<runs {
      let run = run(index)
      let start = weights + run.lowerBound
      var sum = DoubleLanes.zero
      forLanes(Double.self, run.count) { i, n in
        let weight = start.lanes(i, n, padding: -.infinity).exponential()
        start.set(i, n, weight)
        sum = sum + weight
      }
      sums[index] = sum.sum()
    }
  }

  /// Over all tokens in their order.
  func token(at draw: Double) -> Int {
    var total = 0.0
    var last = 0
    for index in 0..<runs where sums[index] > 0 {
      total += sums[index]
      last = index
    }
    let target = draw * total
    var reached = 0.0
    var index = 0
    while index < last && reached + sums[index] <= target {
      reached += sums[index]
      index += 1
    }
    let run = run(index)
    // Rounding may leave the target just behind the run's end.
    var found = run.lowerBound
    for token in run where weights[token] > 0 {
      found = token
      reached += weights[token]
      if target < reached { break }
    }
    return found
  }

  /// Over the tokens that the rule keeps, by falling probability.
  @inline(__always)
  func token<Scalar: KernelScalar>(
    at draw: Double, _ source: Pointer<Scalar>, highest: Scalar, _ rule: DrawRule
  ) -> Int {
    var total = 0.0
    for index in 0..<runs { total += sums[index] }
    var likely = candidates(source, highest: highest, rule, total: total)
    likely.sort { a, b in
      let (x, y) = (source[Int(a)], source[Int(b)])
      return x != y ? x > y : a < b
    }
    var kept = likely.count
    if rule.topK > 0 {
      kept = min(kept, rule.topK)
      total = 0
      for i in 0..<kept { total += weights[Int(likely[i])] }
    }
    if rule.topP < 1 {
      var reached = 0.0
      for i in 0..<kept {
        reached += weights[Int(likely[i])]
        if reached >= rule.topP * total {
          kept = i + 1
          break
        }
      }
      total = reached
    }
    let target = draw * total
    var reached = 0.0
    for i in 0..<kept {
      reached += weights[Int(likely[i])]
      if target < reached { return Int(likely[i]) }
    }
    return Int(likely[kept - 1])
  }

  /// The most probable tokens, unsorted, among them all that the rule keeps: sorting the vocabulary
  /// would cost more than the rest of the draw.
  @inline(__always)
  private func candidates<Scalar: KernelScalar>(
    _ source: Pointer<Scalar>, highest: Scalar, _ rule: DrawRule, total: Double
  ) -> UnsafeMutableBufferPointer<Int32> {
    masses.update(repeating: 0, count: Self.rungs)
    sizes.update(repeating: 0, count: Self.rungs)
    for token in 0..<count {
      // Four rungs to a unit of the exponent; the last is for all below, and for NaN.
      let depth = 4 * (highest.asDouble - source[token].asDouble) / rule.temperature
      let rung = depth < Double(Self.rungs - 1) ? Int(depth) : Self.rungs - 1
      ladder[token] = UInt8(rung)
      masses[rung] += weights[token]
      sizes[rung] += 1
    }
    // Masses were added in another order: a little more than needed is kept.
    let mass = rule.topP * total * (1 + 1e-9)
    var (reached, size) = (0.0, 0)
    var last = 0
    while last < Self.rungs {
      reached += masses[last]
      size += Int(sizes[last])
      if rule.topK > 0 ? size >= rule.topK : reached >= mass { break }
      last += 1
    }
    var found = 0
    for token in 0..<count where Int(ladder[token]) <= last {
      order[found] = Int32(token)
      found += 1
    }
    return UnsafeMutableBufferPointer(start: order, count: found)
  }
}
