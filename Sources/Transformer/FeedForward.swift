// Gated feed-forward layers: one for all tokens, or a mixture of experts.

import Kernels
import Parallel
import Tensors

/// (f(x·Gᵀ) · x·Uᵀ)·Dᵀ (Shazeer 2020) for one or several experts at once.
struct GatedExperts {
  private let gateUp: Parameter
  private let down: Parameter
  private let activation: Activation

  /// Declares `<name>.gate_up_proj` [experts, 2, hidden, width] (gate first) and `<name>.down_proj`
  /// [experts, width, hidden].
  init(
    _ configuration: ModelConfiguration, name: String, experts: Int, hidden: Int,
    over axes: ExpertAxes, in parameters: ParameterSet
  ) {
    activation = configuration.activation
    gateUp = parameters.declare(
      "\(name).gate_up_proj", [experts, 2, hidden, configuration.width],
      .normal(deviation: configuration.initialDeviation), placement: axes.placement(hidden: 2))
    down = parameters.declare(
      "\(name).down_proj", [experts, configuration.width, hidden],
      .normal(deviation: configuration.residualDeviation), placement: axes.placement(hidden: 2))
  }

  /// Rows offsets[e] ..< offsets[e + 1] of x [R, H] go through expert e; gives [R, H].
  func callAsFunction(_ x: Variable, offsets: [Int], rowWeights: Variable?) -> Variable {
    gatedLinear(
      groupedLinear(x, offsets: offsets, gateUp.on(x.tape)), rowWeights: rowWeights, activation,
      offsets: offsets, down.on(x.tape))
  }
}

/// Over which axes experts are split.
enum ExpertAxes {
  /// The one feed-forward of all tokens: its hidden width over tensor ranks.
  case tensor
  /// Routed experts: dealt over expert ranks, the hidden width over expert-tensor ranks.
  case expert

  /// Of [experts, .., .., ..] whose dimension `hidden` is the hidden width.
  func placement(hidden: Int) -> Placement {
    switch self {
    case .tensor: .split(hidden, over: .tensor)
    case .expert: .split(0, over: .expert).split(hidden, over: .expertTensor)
    }
  }
}

/// A feed-forward that every token passes, split over tensor ranks.
struct WholeFeedForward {
  private let experts: GatedExperts
  private let groups: ModelGroups

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, name: String, hidden: Int,
    in parameters: ParameterSet
  ) {
    self.groups = groups
    experts = GatedExperts(
      configuration, name: name, experts: 1, hidden: hidden, over: .tensor, in: parameters)
  }

  /// This rank's rows of x: gives residual + feed-forward(x).
  func callAsFunction(_ x: Variable, adding residual: Variable, tokens: Int) -> Variable {
    let shares = groups.tensor.shares(of: tokens)
    let all = groups.tensor.allGathered(x, counts: shares)
    let partial = experts(all, offsets: [0, tokens], rowWeights: nil)
    return sum(residual, groups.tensor.reduceScattered(partial, counts: shares))
  }
}

/// The feed-forward half of a block.
enum FeedForward {
  case dense(WholeFeedForward)
  case mixture(Mixture)

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, layer: Int,
    in parameters: ParameterSet
  ) {
    let name = "model.layers.\(layer).mlp"
    if configuration.denseLayers.contains(layer) {
      self = .dense(
        WholeFeedForward(
          configuration, groups: groups, name: name, hidden: configuration.denseWidth,
          in: parameters))
    } else {
      self = .mixture(
        Mixture(configuration, groups: groups, layer: layer, name: name, in: parameters))
    }
  }

  /// This rank's rows of x, normalised, and of the residual, of the `wanted` tokens (nil: all).
  func callAsFunction(
    _ x: Variable, adding residual: Variable, _ batch: Batch, wanted: WantedTokens?, drops: Bool
  ) -> (Variable, Routing?) {
    switch self {
    case .dense(let whole):
      (whole(x, adding: residual, tokens: wanted?.tokens.count ?? batch.tokens.count), nil)
    case .mixture(let mixture):
      mixture(x, adding: residual, batch, wanted: wanted, drops: drops)
    }
  }
}
