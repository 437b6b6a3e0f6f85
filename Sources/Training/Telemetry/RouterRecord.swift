// Who was routed where: the choices of every MoE layer, and the figures that follow from them.

import Foundation
import Kernels

/// What the router of one layer did with the tokens of one batch (or of several, added up).
public struct LayerRouting: Sendable, Equatable {
  /// Number of the layer in the model, dense layers counted.
  public var layer: Int
  /// Choices that went to each expert [E].
  public var counts: [Int]
  /// Mean probability of each expert over the tokens [E].
  public var probabilities: [Double]
  /// Tokens that were routed; choices / tokens is the mean k.
  public var tokens: Int
  /// This layer's balance loss before its coefficient; 1 is perfect balance.
  public var balance: Double
  /// Mean squared logsumexp of the logits.
  public var z: Double
  /// Choices beyond an expert's capacity, that were not computed.
  public var dropped: Int

  public init(
    layer: Int, counts: [Int], probabilities: [Double], tokens: Int, balance: Double, z: Double,
    dropped: Int = 0
  ) {
    require(
      !counts.isEmpty && counts.count == probabilities.count,
      "layer \(layer): \(counts.count) counts, \(probabilities.count) probabilities")
    self.layer = layer
    self.counts = counts
    self.probabilities = probabilities
    self.tokens = tokens
    self.balance = balance
    self.z = z
    self.dropped = dropped
  }

  public var experts: Int { counts.count }
  public var choices: Int { counts.reduce(0, +) }
  public var meanCount: Double { Double(choices) / Double(experts) }

  /// The busiest expert's load over the mean load: 1 is balance, E is one expert for all.
  public var maxOverMean: Double {
    choices > 0 ? Double(counts.max() ?? 0) / meanCount : 1
  }

  /// −Σ f_e ln f_e of the load shares f, in nats.
  public var loadEntropy: Double {
    let total = Double(choices)
    guard total > 0 else { return 0 }
    return counts.reduce(0.0) { sum, count in
      guard count > 0 else { return sum }
      let share = Double(count) / total
      return sum - share * log(share)
    }
  }

  /// Entropy of the load as a share of ln E: 1 is balance, 0 is one expert for all.
  public var loadEntropyShare: Double {
    experts > 1 ? loadEntropy / log(Double(experts)) : 1
  }

  /// Experts that no token chose.
  public var dead: [Int] { counts.indices.filter { counts[$0] == 0 } }
}

/// All MoE layers after one step.
public struct RouterRecord: MetricsRecord, Equatable {
  public static let kind = "router"

  public var step: Int
  public var layers: [LayerRouting]

  public init(step: Int, layers: [LayerRouting]) {
    self.step = step
    self.layers = layers
  }

  public func write(to line: inout MetricsLine) {
    line.list("layers", layers) { layer, line in
      line.add("layer", layer.layer)
      line.add("counts", layer.counts)
      line.add("probabilities", layer.probabilities)
      line.add("tokens", layer.tokens)
      line.add("balance", layer.balance)
      line.add("z", layer.z)
      line.add("dropped", layer.dropped)
      line.add("load_entropy_share", layer.loadEntropyShare)
      line.add("max_over_mean", layer.maxOverMean)
      line.add("dead", layer.dead)
    }
  }
}
