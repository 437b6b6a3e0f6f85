// The training objective: token loss, balance loss, z-loss, each a sum over what this rank holds.

import Kernels
import Parallel
import Tensors

/// Counts over the whole batch of one optimiser step: all ranks, all micro-batches.
///
/// Every term is a local sum divided by these, so that the sum over ranks is the objective.
public struct BatchCounts: Sendable, Equatable {
  /// Labels that are not ignored.
  public var labels: Int
  /// Tokens that are not padding.
  public var tokens: Int
  /// Those that each expert layer's router sees: in the last layer, the ones that are asked for.
  public var routed: [Int]
  public var sequences: Int
  /// Choices of unmasked tokens by expert layer and expert: [layers][E].
  public var expertChoices: [[Int]]

  public init(
    labels: Int, tokens: Int, routed: [Int], sequences: Int, expertChoices: [[Int]]
  ) {
    self.labels = labels
    self.tokens = tokens
    self.routed = routed
    self.sequences = sequences
    self.expertChoices = expertChoices
  }
}

/// The terms of the objective on the tape, and their values.
public struct Objective {
  /// What backward starts from: task + balance · coefficient + z · coefficient.
  public let total: Variable
  /// This rank's share of what the task adds: of the mean negative log-probability of the labels, in
  /// nats, say.
  public let taskLoss: Double
  /// This rank's share of the balance loss, before its coefficient; 1 (pooled: k) is balance.
  public let balance: Double
  /// This rank's share of the z-loss, before its coefficient.
  public let z: Double
  /// The same by expert layer: their means are `balance` and `z`.
  public let layerBalance: [Double]
  public let layerZ: [Double]
  /// Of each expert layer the experts' probabilities, summed over this rank's tokens.
  public let probabilitySums: [[Double]]
}

extension LanguageModel {
  /// This rank's part of the objective for one micro-batch.
  ///
  /// `labels[t]` is the token that output t predicts, −100 where there is none. `logits` may
  /// be looked at before (they are overwritten in backward).
  public func objective(
    _ output: Output, labels: [Int32], _ batch: Batch, counts: BatchCounts,
    logits given: Variable? = nil
  ) -> Objective {
    let logProbabilities = logProbabilities(output.hidden, labels: labels, logits: given)
    let token = scaledSum(logProbabilities, factor: -1 / Double(max(counts.labels, 1)))
    return objective(output, task: token, batch, counts: counts)
  }

  /// The same with another loss than the labels': `task` is this rank's part of it. Without counts it is
  /// all, and the routers' terms are left out.
  public func objective(
    _ output: Output, task: Variable, _ batch: Batch, counts: BatchCounts?
  ) -> Objective {
    let router = configuration.router
    guard let counts else {
      require(!router.learnsFromEveryToken, "losses of routers without counts")
      return Objective(
        total: task, taskLoss: task.value.scalar, balance: 0, z: 0, layerBalance: [], layerZ: [],
        probabilitySums: [])
    }
    var terms: [(weight: Double, term: Variable)] = [(1, task)]
    let sums = output.routings.map(\.probabilitySums)
    let balance: [Double]
    if router.balanceCoefficient > 0 || router.balanceScope == .sequence {
      let learnt = balanceTerms(output.routings, batch, counts)
      if router.balanceCoefficient > 0 { terms += learnt.map { (router.balanceCoefficient, $0) } }
      balance = learnt.map(\.value.scalar)
    } else {
      balance = self.balance(of: sums, counts)
    }
    let z = zTerms(output.routings, batch, counts)
    if router.zCoefficient > 0 { terms += z.map { (router.zCoefficient, $0) } }
    let layers = Double(max(output.routings.count, 1))
    return Objective(
      total: weightedSum(terms), taskLoss: task.value.scalar, balance: balance.reduce(0, +),
      z: z.reduce(0) { $0 + $1.value.scalar }, layerBalance: balance.map { layers * $0 },
      layerZ: z.map { layers * $0.value.scalar }, probabilitySums: sums)
  }

  /// This rank's share of the balance loss of the whole batch, by expert layer, from its experts' summed
  /// probabilities. Not for sequences that are balanced apart.
  public func balance(of probabilitySums: [[Double]], _ counts: BatchCounts) -> [Double] {
    zip(probabilitySums, balanceFactors(counts)).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }
  }

  /// What an expert's probability of any token counts in the balance loss of the whole batch, by layer.
  private func balanceFactors(_ counts: BatchCounts) -> [[Double]] {
    let router = configuration.router
    let experts = Double(router.experts)
    let layers = Double(counts.expertChoices.count)
    guard router.balanceScope == .pooled else {
      return zip(counts.expertChoices, counts.routed).map { chosen, routed in
        // k · T is the number of choices, so that k may vary from token to token.
        let norm = Double(chosen.reduce(0, +)) * Double(routed)
        return chosen.map { experts * Double($0) / max(norm, 1) / layers }
      }
    }
    let pooled = (0..<router.experts).map { expert in
      counts.expertChoices.reduce(0) { $0 + $1[expert] }
    }
    let tokens = Double(counts.routed.reduce(0, +))
    return counts.expertChoices.map { _ in
      pooled.map { experts * Double($0) / max(tokens * tokens, 1) }
    }
  }

  /// balance = E / (k · T²) · Σ_e (Σ_t p_te) · c_e for each layer, divided by the number of layers.
  ///
  /// The probabilities are this rank's; the counts c and T are global, or of the token's sequence.
  private func balanceTerms(
    _ routings: [Routing], _ batch: Batch, _ counts: BatchCounts
  ) -> [Variable] {
    let router = configuration.router
    let experts = Double(router.experts)
    let layers = Double(routings.count)
    let whole = balanceFactors(counts)
    return routings.enumerated().map { layer, routing in
      // The factor of p_te: the same for all tokens of a sequence.
      let factors: [[Double]]
      switch router.balanceScope {
      case .batch, .pooled:
        factors = [whole[layer]]
      case .sequence:
        require(
          batch.shared == nil || router.balanceCoefficient == 0,
          "rows shared by sequences whose loads are balanced apart")
        factors = wholeCounts(routing, batch).map { chosen, tokens in
          let norm = Double(chosen.reduce(0, +)) * Double(tokens)
          return chosen.map {
            experts * Double($0) / max(norm, 1) / layers / Double(max(counts.sequences, 1))
          }
        }
      }
      var weights: [Double] = []
      weights.reserveCapacity(routing.tokens.count * router.experts)
      for (row, token) in routing.tokens.enumerated() {
        let real = Double(routing.realTokens[row])
        for factor in factors[factors.count == 1 ? 0 : token / batch.length] {
          weights.append(real * factor)
        }
      }
      let device = routing.probabilities.tape.device
      return weightedTotal(
        routing.probabilities, weights: device.tensor(routing.probabilities.shape, weights))
    }
  }

  /// Choices [E] and tokens of each whole sequence, which may lie on several ranks.
  private func wholeCounts(_ routing: Routing, _ batch: Batch) -> [(chosen: [Int], tokens: Int)] {
    let experts = configuration.router.experts
    var tokens = [Int](repeating: 0, count: batch.sequences)
    for (row, token) in routing.tokens.enumerated() {
      tokens[token / batch.length] += routing.realTokens[row]
    }
    let sums = groups.tensor.sum(routing.counts(batch) + tokens)
    return tokens.indices.map {
      (Array(sums[$0 * experts..<($0 + 1) * experts]), sums[batch.sequences * experts + $0])
    }
  }

  /// mean_t (logsumexp_e logits)² for each layer, divided by the number of layers.
  private func zTerms(
    _ routings: [Routing], _ batch: Batch, _ counts: BatchCounts
  ) -> [Variable] {
    routings.enumerated().map { layer, routing in
      let weight = 1 / Double(max(counts.routed[layer], 1)) / Double(routings.count)
      let logSum = logSumExp(routing.logits)
      let weights = routing.realTokens.map { Double($0) * weight }
      let device = logSum.tape.device
      return weightedTotal(
        multiplied(logSum, logSum), weights: device.tensor(logSum.shape, weights))
    }
  }

  /// The tokens that an expert layer, counted among those, is asked for; nil is all.
  private func asked(of layer: Int, _ batch: Batch) -> [Int]? {
    configuration.expertLayers[layer] == configuration.layers - 1 ? batch.asked : nil
  }

  /// Counts of this rank's tokens; summed over micro-batches and ranks they are `BatchCounts`.
  public func counts(_ output: Output, labels: [Int32], _ batch: Batch) -> BatchCounts {
    var counts = counts(labels: labels, batch)
    counts.expertChoices = output.routings.map(\.counts)
    return counts
  }

  /// The same before a forward pass: no expert has been chosen.
  public func counts(labels: [Int32], _ batch: Batch) -> BatchCounts {
    let own = groups.tensor.ownShare(of: batch.tokens.count)
    let outputs = groups.tensor.ownShare(of: batch.outputs)
    func real(_ tokens: some Sequence<Int>) -> Int { tokens.count { batch.mask?[$0] ?? true } }
    let tokens = real(own)
    return BatchCounts(
      labels: labels[outputs].count { $0 != -100 }, tokens: tokens,
      routed: configuration.expertLayers.indices.map { layer in
        asked(of: layer, batch).map { real($0[outputs]) } ?? tokens
      },
      // A sequence is counted where it begins.
      sequences: own.reduce(0) { $0 + ($1 % batch.length == 0 ? 1 : 0) },
      expertChoices: configuration.expertLayers.map { _ in
        Array(repeating: 0, count: configuration.router.experts)
      })
  }
}
