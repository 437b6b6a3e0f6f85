// Which experts each token goes to, and with what weight.

import Kernels
import Parallel
import Tensors

/// What a router decided for one layer about this rank's tokens, and what its losses need.
public struct Routing {
  /// Router logits [T, E].
  public let logits: Variable
  /// Scores that sum to 1 for each token [T, E]: softmax, or sigmoids divided by their sum.
  public let probabilities: Variable
  /// Weights of the choices in token order [choices, 1].
  public let weights: Variable
  /// Chosen expert of each choice, token after token; −1 where the choice was dropped.
  public let experts: [Int32]
  /// Choices of token t are starts[t] ..< starts[t + 1].
  public let starts: [Int32]
  /// Which of the batch's tokens these are: those that fell to this rank.
  public let tokens: [Int]
  /// Which tokens share their rows; nil: none.
  let shared: SharedTokens?
  /// How many tokens each stands for that are not padding.
  let realTokens: [Int]
  /// Experts of the layer.
  let expertCount: Int
  /// What was not dropped, sorted by expert.
  let choices: ExpertChoices

  /// For each token of the batch which of these decisions is its own, −1 where none is.
  public func rows(_ batch: Batch) -> [Int] {
    var rows = [Int](repeating: -1, count: batch.tokens.count)
    for (row, token) in tokens.enumerated() { rows[token] = row }
    guard let shared else { return rows }
    return shared.rows.map { rows[shared.tokens[Int($0)]] }
  }

  /// Choices of this rank's tokens that are not padding, which went to each expert: [E].
  public var counts: [Int] {
    var counts = [Int](repeating: 0, count: expertCount)
    addCounts(to: &counts) { _ in 0 }
    return counts
  }

  /// The same by sequence, of those that share a row the first one's: [sequences · E].
  func counts(_ batch: Batch) -> [Int] {
    var counts = [Int](repeating: 0, count: batch.sequences * expertCount)
    addCounts(to: &counts) { tokens[$0] / batch.length * expertCount }
    return counts
  }

  private func addCounts(to counts: inout [Int], first: (_ row: Int) -> Int) {
    for row in tokens.indices {
      let first = first(row)
      for choice in Int(starts[row])..<Int(starts[row + 1]) where experts[choice] >= 0 {
        counts[first + Int(experts[choice])] += realTokens[row]
      }
    }
  }

  /// Sum of each expert's probability over the tokens that are not padding: [E].
  public var probabilitySums: [Double] {
    let device = probabilities.tape.device
    let sums = device.tensor([1, expertCount])
    let counted = device.tensor(probabilities.shape)
    let weights = device.tensor([tokens.count, 1], realTokens.map(Double.init))
    scaleRows(
      probabilities.value.matrix, by: weights.matrix, into: counted.matrix, accumulate: false,
      team: device.team)
    sumRows(counted.matrix, into: sums.matrix, accumulate: false, team: device.team)
    return sums.elements
  }

  /// Those of a part of this rank's tokens.
  func choices(ofTokens tokens: Range<Int>) -> ExpertChoices {
    ExpertChoices(experts, ofEach: choicesOfEach, among: 0..<expertCount, tokens: tokens)
  }

  /// Choices of each token, dropped ones included.
  var choicesOfEach: [Int32] { zip(starts.dropFirst(), starts).map { $0 - $1 } }
}

/// Choices of some of the experts, sorted by expert, tokens in order within each.
struct ExpertChoices {
  /// Where each choice stands when sorted.
  let map: RowMap
  /// Choices of the range's expert e, sorted, are offsets[e] ..< offsets[e + 1].
  let offsets: [Int]
  /// Choice (in token order) that stands at each sorted place.
  let order: [Int32]
  /// Choices of each expert of the range.
  var counts: [Int] { zip(offsets.dropFirst(), offsets).map { $0 - $1 } }

  /// `chosen` lists experts token after token, `ofEach` tells how many each token has; only those of
  /// `tokens` are taken, nil is all.
  init(
    _ chosen: [Int32], ofEach: [Int32], among range: Range<Int>, tokens: Range<Int>? = nil
  ) {
    let tokens = tokens ?? ofEach.indices
    let before = ofEach[..<tokens.lowerBound].reduce(0) { $0 + Int($1) }
    let taken = before..<ofEach[tokens].reduce(before) { $0 + Int($1) }
    let (lowest, highest) = (Int32(range.lowerBound), Int32(range.upperBound))
    var offsets = [Int](repeating: 0, count: range.count + 1)
    for choice in taken where chosen[choice] >= lowest && chosen[choice] < highest {
      offsets[Int(chosen[choice] - lowest) + 1] += 1
    }
    for expert in 0..<range.count { offsets[expert + 1] += offsets[expert] }
    var next = offsets
    let total = offsets[range.count]
    var source = [Int32](repeating: 0, count: total)
    var order = source
    var positions = source
    var starts = [Int32](repeating: 0, count: ofEach.count + 1)
    var placed = 0
    var choice = before
    for token in tokens {
      for _ in 0..<ofEach[token] {
        let expert = chosen[choice]
        if expert >= lowest && expert < highest {
          let own = Int(expert - lowest)
          let sorted = next[own]
          next[own] = sorted + 1
          source[sorted] = Int32(token)
          order[sorted] = Int32(choice)
          positions[placed] = Int32(sorted)
          placed += 1
        }
        choice += 1
      }
      starts[token + 1] = Int32(placed)
    }
    for token in tokens.upperBound..<ofEach.count { starts[token + 1] = Int32(placed) }
    map = RowMap(source: source, starts: starts, positions: positions)
    self.offsets = offsets
    self.order = order
  }
}

/// Linear router: logits → scores → top-k → weights.
struct Router {
  private let configuration: RouterConfiguration
  private let groups: ModelGroups
  private let weight: Parameter
  private let temperature: Parameter?
  /// Added to scores for selection only; changed by a rule, not by gradient.
  let bias: SelectionBias?
  /// The layer's place among those with experts.
  private let place: Int

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, layer: Int,
    in parameters: ParameterSet
  ) {
    self.configuration = configuration.router
    self.groups = groups
    place = configuration.expertLayers.firstIndex(of: layer)!
    let name = "model.layers.\(layer).mlp.gate"
    weight = parameters.declare(
      "\(name).weight", [configuration.router.experts, configuration.width],
      .normal(deviation: configuration.initialDeviation))
    temperature =
      configuration.router.learnedTemperature
      ? parameters.declare("\(name).temperature", [1], .constant(1)) : nil
    bias =
      configuration.router.biasRate > 0
      ? SelectionBias(
        name: "\(name).e_score_correction_bias", experts: configuration.router.experts)
      : nil
  }

  /// This rank's rows of x [T, H], of the `wanted` tokens (nil: all). `drops` says whether experts have a
  /// capacity here.
  func callAsFunction(_ x: Variable, _ batch: Batch, wanted: WantedTokens?, drops: Bool) -> Routing
  {
    let tape = x.tape
    var logits = rowStableLinear(x, weight.on(tape))
    if let temperature { logits = scaled(logits, by: temperature.on(tape)) }
    let scores: Variable
    let probabilities: Variable
    switch configuration.score {
    case .softmax:
      scores = softmax(logits)
      probabilities = scores
    case .sigmoid:
      scores = sigmoid(logits)
      probabilities = rowNormalised(scores)
    }
    let tokens = x.value.rows
    let k = configuration.expertsPerToken
    let own = groups.tensor.ownShare(of: wanted?.tokens.count ?? batch.tokens.count)
    let numbers = wanted.map { Array($0.tokens[own]) } ?? Array(own)
    var experts: [Int32] = []
    if let given = batch.expertChoices?[place] {
      experts = numbers.flatMap { given[$0 * k..<($0 + 1) * k] }
    } else {
      let biasTensor = bias.map { tape.device.tensor([1, configuration.experts], $0.values) }
      topK(scores.value.matrix, bias: biasTensor?.matrix, k: k, into: &experts)
    }
    let starts = (0...tokens).map { Int32($0 * k) }
    let weights = chosenScores(
      scores, starts: starts, experts: experts, renormalised: configuration.renormalise)
    if drops && configuration.capacityFactor > 0 {
      require(batch.shared == nil, "experts with a capacity would take shared tokens once")
      drop(&experts, numbers, batch)
    }
    return Routing(
      logits: logits, probabilities: probabilities, weights: weights, experts: experts,
      starts: starts, tokens: numbers, shared: wanted?.shared,
      realTokens: realTokens(of: numbers, own, batch, wanted?.shared),
      expertCount: configuration.experts,
      choices: ExpertChoices(
        experts, ofEach: Array(repeating: Int32(k), count: tokens),
        among: 0..<configuration.experts))
  }

  /// How many tokens that are not padding each of this rank's `tokens` stands for, which are `own` of the
  /// layer's rows.
  private func realTokens(
    of tokens: [Int], _ own: Range<Int>, _ batch: Batch, _ shared: SharedTokens?
  ) -> [Int] {
    guard let shared else { return tokens.map { batch.mask?[$0] ?? true ? 1 : 0 } }
    var counts = [Int](repeating: 0, count: shared.tokens.count)
    for (token, row) in shared.rows.enumerated() where batch.mask?[token] ?? true {
      counts[Int(row)] += 1
    }
    return Array(counts[own])
  }

  /// Marks with −1 what is beyond each expert's capacity, ceil(factor · k · S / E) choices of a
  /// sequence. Choices are kept in token order, so all layouts drop the same; padding takes no room
  /// and is never dropped.
  private func drop(_ experts: inout [Int32], _ tokens: [Int], _ batch: Batch) {
    let k = configuration.expertsPerToken
    let count = configuration.experts
    let capacity = configuration.capacity(of: batch.length)
    func isReal(_ index: Int) -> Bool { batch.mask?[tokens[index]] ?? true }
    func slot(_ choice: Int) -> Int {
      tokens[choice / k] / batch.length * count + Int(experts[choice])
    }
    var chosen = [Int](repeating: 0, count: batch.sequences * count)
    for choice in experts.indices where isReal(choice / k) { chosen[slot(choice)] += 1 }
    // Tokens of lower ranks come first.
    var taken = groups.tensor.sumBefore(chosen)
    for choice in experts.indices where isReal(choice / k) {
      let slot = slot(choice)
      taken[slot] += 1
      if taken[slot] > capacity { experts[choice] = -1 }
    }
  }
}

extension RouterConfiguration {
  /// Choices that one expert takes of a sequence of `length` tokens: ceil(factor · k · S / E).
  func capacity(of length: Int) -> Int {
    let exact = capacityFactor * Double(expertsPerToken * length) / Double(experts)
    // 1.1 · 10 is a little more than 11 in binary.
    return Int((exact - 1e-9 * exact).rounded(.up))
  }
}

extension Routing {
  /// The same decisions with other variables for the losses: those of a recomputed block.
  func replacing(logits: Variable, probabilities: Variable) -> Routing {
    Routing(
      logits: logits, probabilities: probabilities, weights: weights.detached, experts: experts,
      starts: starts, tokens: tokens, shared: shared, realTokens: realTokens,
      expertCount: expertCount, choices: choices)
  }
}

/// The selection bias of loss-free balancing (Wang et al. 2024, arXiv 2408.15664): after each step,
/// b_e += rate · sign(mean count − count_e), from the counts of the whole batch.
public final class SelectionBias {
  public let name: String
  public var values: [Double]

  init(name: String, experts: Int) {
    self.name = name
    values = Array(repeating: 0, count: experts)
  }

  /// Applies the sign rule once. `counts` are of the whole batch, over all ranks.
  public func update(counts: [Int], rate: Double) {
    let mean = Double(counts.reduce(0, +)) / Double(counts.count)
    for (expert, count) in counts.enumerated() {
      let error = mean - Double(count)
      values[expert] += rate * (error > 0 ? 1 : error < 0 ? -1 : 0)
    }
  }
}
