// The numbers that define a model. What follows from them is computed, not configured.

import Kernels

/// Where the query/key norm acts: nowhere, on each head, or over the whole projection.
public enum QueryKeyNorm: String, Codable, Sendable, CaseIterable {
  case none, head, full
}

/// Sizes and options of a decoder-only mixture-of-experts transformer.
public struct ModelConfiguration: Codable, Sendable, Equatable {
  /// Rows of the embedding; 0 takes the tokenizer's size.
  public var vocabulary = 0
  /// Elements of the residual stream.
  public var width = 256
  public var layers = 6
  /// Query heads of a layer.
  public var heads = 8
  /// Key/value heads; divides `heads` (1 is multi-query, `heads` is multi-head attention).
  public var keyValueHeads = 4
  /// Elements of one head; 0 takes width ÷ heads.
  public var headWidth = 0
  public var queryKeyNorm = QueryKeyNorm.none
  /// Bound on |query|, |key| and |value| elements after projection and norm; 0 is no bound.
  public var clipQKV = 0.0
  public var attentionBias = false
  public var rotaryBase = 10_000.0
  public var normEpsilon = 1e-5
  public var tiedEmbedding = false
  /// Nonlinearity of the gate in every feed-forward layer.
  public var activation = Activation.silu
  /// Layers (from 0) whose feed-forward is dense instead of a mixture of experts.
  public var denseLayers: [Int] = []
  /// Hidden width of the dense layers' feed-forward.
  public var denseWidth = 0
  /// Token whose embedding gets no gradient where it is read; weight decay, and a tied output matrix,
  /// still change its row. −1 is none.
  public var paddingToken = -1
  /// Standard deviation of initial weights; projections into the residual stream are drawn
  /// smaller by √(2 · layers).
  public var initialDeviation = 0.02
  public var scalarHead = ScalarHead.none
  public var router = RouterConfiguration()

  public init() {}

  public static let meanings: [String: String] = [
    "vocabulary": "rows of the embedding; 0 takes the tokenizer's size",
    "width": "elements of the residual stream",
    "layers": "transformer blocks",
    "heads": "query heads of a layer",
    "keyValueHeads": "key/value heads; divides heads",
    "headWidth": "elements of one head, even; 0 takes width / heads",
    "queryKeyNorm":
      "RMS norm of queries and keys: none, head (per head) or full (whole projection)",
    "clipQKV": "bound on query, key and value elements; 0 is none",
    "attentionBias": "biases in the attention projections",
    "rotaryBase": "base of the rotary frequencies",
    "normEpsilon": "added to the mean square in every RMS norm",
    "tiedEmbedding": "output matrix is the embedding",
    "activation": "nonlinearity of the gate: silu or relu",
    "denseLayers": "layers (from 0) with a dense feed-forward",
    "denseWidth": "hidden width of dense feed-forward layers",
    "paddingToken": "token whose embedding gets no gradient; -1 is none",
    "initialDeviation": "standard deviation of initial weights",
    "scalarHead":
      "a number for each token, a reward's or value's: none, or weights that start at zero or normal",
    "router": "routing and experts",
  ]

  /// Elements of one head.
  public var resolvedHeadWidth: Int { headWidth > 0 ? headWidth : width / max(heads, 1) }
  /// Layers with a router.
  public var expertLayers: [Int] { (0..<layers).filter { !denseLayers.contains($0) } }
}

/// How a router turns logits into scores.
public enum RouterScore: String, Codable, Sendable, CaseIterable {
  case softmax, sigmoid
}

/// Over which tokens the balance loss compares load and probability.
///
/// `sequence`: within each sequence, then the mean; `batch`: over the whole batch of one optimiser
/// step; `pooled`: Hugging Face's, all layers pooled before the product and not divided by k.
public enum BalanceScope: String, Codable, Sendable, CaseIterable {
  case sequence, batch, pooled
}

/// The router's and the experts' numbers.
public struct RouterConfiguration: Codable, Sendable, Equatable {
  public var experts = 8
  /// Experts that each token goes to (k).
  public var expertsPerToken = 2
  /// Hidden width of one expert.
  public var expertWidth = 512
  /// Choices of a sequence that one expert takes at most, as a multiple of an even share; the rest is
  /// dropped, in training. 0 drops nothing.
  public var capacityFactor = 0.0
  /// Experts that every token passes; together one feed-forward of sharedExperts · expertWidth.
  public var sharedExperts = 0
  public var score = RouterScore.softmax
  /// Whether the k chosen scores are divided by their sum.
  public var renormalise = true
  /// Whether logits are multiplied by a learned scalar, 1 at first.
  public var learnedTemperature = false
  public var balanceScope = BalanceScope.batch
  /// Weight of the balance loss, which is 1 (pooled: k) at perfect balance.
  public var balanceCoefficient = 0.01
  /// Weight of mean (logsumexp of logits)².
  public var zCoefficient = 0.0
  /// Step of the loss-free selection bias (Wang et al. 2024); 0 turns it off.
  public var biasRate = 0.0

  public init() {}

  /// Whether sequences are balanced one by one, so that it matters what makes up one.
  public var balancesSequences: Bool { balanceCoefficient > 0 && balanceScope == .sequence }

  /// Whether routers learn from all tokens, not from those alone whose outputs are asked for.
  public var learnsFromEveryToken: Bool {
    balanceCoefficient > 0 || zCoefficient > 0 || biasRate > 0
  }

  public static let meanings: [String: String] = [
    "experts": "routed experts of a layer",
    "expertsPerToken": "experts that each token goes to (k)",
    "expertWidth": "hidden width of one expert",
    "capacityFactor":
      "largest load of an expert in a training sequence over an even share; 0 drops nothing",
    "sharedExperts": "experts that every token passes",
    "score": "scores from logits: softmax or sigmoid",
    "renormalise": "divide the k chosen scores by their sum",
    "learnedTemperature": "multiply logits by a learned scalar",
    "balanceScope": "balance loss over each sequence, the whole batch, or pooled over layers",
    "balanceCoefficient": "weight of the balance loss (1 at perfect balance; pooled: k)",
    "zCoefficient": "weight of mean squared log-sum-exp of router logits",
    "biasRate": "step of the loss-free selection bias; 0 turns it off",
  ]
}

/// A configuration that no model can be made of: which field, its value, what would be accepted.
public struct ModelConfigurationError: Error, CustomStringConvertible, Equatable {
  public let field: String
  public let value: String
  public let accepted: String
  public var description: String { "\(field) is \(value); accepted: \(accepted)" }

  public init(field: String, value: String, accepted: String) {
    self.field = field
    self.value = value
    self.accepted = accepted
  }
}

extension ModelConfiguration {
  /// Throws `ModelConfigurationError` for the first field that no model can be made of.
  public func validate() throws {
    func check(_ ok: Bool, _ field: String, _ value: Any, _ accepted: String) throws {
      if !ok {
        throw ModelConfigurationError(
          field: "model.\(field)", value: "\(value)", accepted: accepted)
      }
    }
    try check(vocabulary >= 2, "vocabulary", vocabulary, "2 or more")
    try check(width >= 1, "width", width, "1 or more")
    try check(layers >= 1, "layers", layers, "1 or more")
    try check(heads >= 1, "heads", heads, "1 or more")
    try check(
      headWidth > 0 || width % heads == 0, "heads", heads,
      "a divisor of width \(width), or set model.headWidth")
    try check(
      resolvedHeadWidth > 0 && resolvedHeadWidth % 2 == 0, "headWidth", resolvedHeadWidth,
      "an even number (rotary pairs)")
    try check(
      keyValueHeads >= 1 && heads % max(keyValueHeads, 1) == 0, "keyValueHeads", keyValueHeads,
      "a divisor of heads \(heads)")
    try check(clipQKV >= 0, "clipQKV", clipQKV, "0 or more")
    try check(rotaryBase > 1, "rotaryBase", rotaryBase, "more than 1")
    try check(normEpsilon > 0, "normEpsilon", normEpsilon, "more than 0")
    try check(initialDeviation >= 0, "initialDeviation", initialDeviation, "0 or more")
    for layer in denseLayers {
      try check(
        (0..<layers).contains(layer), "denseLayers", layer, "layers from 0 to \(layers - 1)")
    }
    try check(
      Set(denseLayers).count == denseLayers.count, "denseLayers", denseLayers, "each layer once")
    try check(
      denseLayers.isEmpty || denseWidth >= 1, "denseWidth", denseWidth,
      "1 or more, since there are dense layers")
    try check(
      paddingToken < vocabulary, "paddingToken", paddingToken,
      "-1 or a token below \(vocabulary)")
    try check(router.experts >= 1, "router.experts", router.experts, "1 or more")
    try check(
      (1...max(router.experts, 1)).contains(router.expertsPerToken), "router.expertsPerToken",
      router.expertsPerToken, "1 to \(router.experts), the number of experts")
    try check(router.expertWidth >= 1, "router.expertWidth", router.expertWidth, "1 or more")
    try check(
      router.capacityFactor >= 0 && router.capacityFactor.isFinite, "router.capacityFactor",
      router.capacityFactor, "0 for no bound, or a positive number")
    try check(router.sharedExperts >= 0, "router.sharedExperts", router.sharedExperts, "0 or more")
    try check(
      router.balanceCoefficient >= 0, "router.balanceCoefficient", router.balanceCoefficient,
      "0 or more")
    try check(
      router.zCoefficient >= 0, "router.zCoefficient", router.zCoefficient, "0 or more")
    try check(router.biasRate >= 0, "router.biasRate", router.biasRate, "0 or more")
  }
}
