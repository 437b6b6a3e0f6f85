// Which experts each token goes to, and with what weight.

import Kernels
import Parallel
import Tensors

/// What a router decided for one layer, and what its losses need.
public struct Routing {
  /// Router logits [T, E].
  public let logits: Variable
  /// Scores that sum to 1 for each token [T, E]: softmax, or sigmoids divided by their sum.
  public let probabilities: Variable
  /// Weights of the choices in token order [choices, 1].
  public let weights: Variable
  /// Chosen expert of each choice, token after token.
  public let experts: [Int32]
  /// Choices of token t are starts[t] ..< starts[t + 1].
  public let starts: [Int32]
  /// Where each choice stands when sorted by expert, tokens in order.
  let map: RowMap
  /// Choices of expert e, sorted, are offsets[e] ..< offsets[e + 1].
  let offsets: [Int]
  /// Choice (in token order) that stands at each sorted place.
  let order: [Int32]

  /// Choices of unmasked tokens that went to each expert, by sequence: [sequences][E].
  public func counts(_ batch: Batch) -> [[Int]] {
    let expertCount = offsets.count - 1
    var counts = Array(
      repeating: Array(repeating: 0, count: expertCount), count: batch.sequences)
    for token in 0..<batch.tokens.count where batch.mask?[token] ?? true {
      for choice in Int(starts[token])..<Int(starts[token + 1]) {
        counts[token / batch.length][Int(experts[choice])] += 1
      }
    }
    return counts
  }
}

/// Linear router: logits → scores → top-k → weights.
struct Router {
  private let configuration: RouterConfiguration
  private let weight: Parameter
  private let temperature: Parameter?
  /// Added to scores for selection only; changed by a rule, not by gradient.
  let bias: SelectionBias?

  init(
    _ configuration: ModelConfiguration, layer: Int, in parameters: ParameterSet
  ) {
    self.configuration = configuration.router
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

  /// x [T, H].
  func callAsFunction(_ x: Variable) -> Routing {
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
    var experts: [Int32] = []
    let biasTensor = bias.map { tape.device.tensor([1, configuration.experts], $0.values) }
    topK(scores.value.matrix, bias: biasTensor?.matrix, k: k, into: &experts)
    let starts = (0...tokens).map { Int32($0 * k) }
    return Routing(
      logits: logits, probabilities: probabilities,
      weights: chosenScores(
        scores, starts: starts, experts: experts, renormalised: configuration.renormalise),
      experts: experts, starts: starts, experts: configuration.experts)
  }
}

extension Routing {
  /// Sorts the choices by expert, tokens in order within each.
  init(
    logits: Variable, probabilities: Variable, weights: Variable, experts chosen: [Int32],
    starts: [Int32], experts count: Int
  ) {
    self.logits = logits
    self.probabilities = probabilities
    self.weights = weights
    experts = chosen
    self.starts = starts
    var offsets = [Int](repeating: 0, count: count + 1)
    for expert in chosen { offsets[Int(expert) + 1] += 1 }
    for expert in 0..<count { offsets[expert + 1] += offsets[expert] }
    var next = offsets
    var source = [Int32](repeating: 0, count: chosen.count)
    var order = source
    var positions = source
    for token in 0..<starts.count - 1 {
      for choice in Int(starts[token])..<Int(starts[token + 1]) {
        let expert = Int(chosen[choice])
        let place = next[expert]
        next[expert] += 1
        source[place] = Int32(token)
        order[place] = Int32(choice)
        positions[choice] = Int32(place)
      }
    }
    map = RowMap(source: source, starts: starts, positions: positions)
    self.offsets = offsets
    self.order = order
  }
}

extension Routing {
  /// The same decisions with other variables for the losses: those of a recomputed block.
  func replacing(logits: Variable, probabilities: Variable) -> Routing {
    Routing(
      logits: logits, probabilities: probabilities, weights: weights.detached, experts: experts,
      starts: starts, map: map, offsets: offsets, order: order)
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
