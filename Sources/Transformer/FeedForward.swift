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
    in parameters: ParameterSet
  ) {
    activation = configuration.activation
    gateUp = parameters.declare(
      "\(name).gate_up_proj", [experts, 2, hidden, configuration.width],
      .normal(deviation: configuration.initialDeviation))
    down = parameters.declare(
      "\(name).down_proj", [experts, configuration.width, hidden],
      .normal(deviation: configuration.residualDeviation))
  }

  /// Rows offsets[e] ..< offsets[e + 1] of x [R, H] go through expert e; gives [R, H].
  func callAsFunction(_ x: Variable, offsets: [Int], rowWeights: Variable?) -> Variable {
    gatedLinear(
      groupedLinear(x, offsets: offsets, gateUp.on(x.tape)), rowWeights: rowWeights, activation,
      offsets: offsets, down.on(x.tape))
  }
}

/// The feed-forward half of a block.
enum FeedForward {
  case dense(GatedExperts)
  case mixture(Mixture)

  /// Router, experts, and the experts that every token passes.
  struct Mixture {
    let router: Router
    let experts: GatedExperts
    let shared: GatedExperts?

    init(_ configuration: ModelConfiguration, layer: Int, in parameters: ParameterSet) {
      let name = "model.layers.\(layer).mlp"
      let router = configuration.router
      self.router = Router(configuration, layer: layer, in: parameters)
      experts = GatedExperts(
        configuration, name: "\(name).experts", experts: router.experts,
        hidden: router.expertWidth, in: parameters)
      shared =
        router.sharedExperts > 0
        ? GatedExperts(
          configuration, name: "\(name).shared_experts", experts: 1,
          hidden: router.sharedExperts * router.expertWidth, in: parameters) : nil
    }

    /// residual + Σ_chosen w·expert(x) + shared(x).
    func callAsFunction(_ x: Variable, adding residual: Variable) -> (Variable, Routing) {
      let routing = router(x)
      let rows = gather(x, routing.map)
      let outputs = experts(
        rows, offsets: routing.offsets, rowWeights: permute(routing.weights, routing.order))
      var sum = combine(outputs, routing.map, adding: residual)
      if let shared {
        sum = Tensors.sum(sum, shared(x, offsets: [0, x.value.rows], rowWeights: nil))
      }
      return (sum, routing)
    }
  }

  init(_ configuration: ModelConfiguration, layer: Int, in parameters: ParameterSet) {
    if configuration.denseLayers.contains(layer) {
      self = .dense(
        GatedExperts(
          configuration, name: "model.layers.\(layer).mlp", experts: 1,
          hidden: configuration.denseWidth, in: parameters))
    } else {
      self = .mixture(Mixture(configuration, layer: layer, in: parameters))
    }
  }

  func callAsFunction(_ x: Variable, adding residual: Variable) -> (Variable, Routing?) {
    switch self {
    case .dense(let experts):
      return (sum(residual, experts(x, offsets: [0, x.value.rows], rowWeights: nil)), nil)
    case .mixture(let mixture):
      return mixture(x, adding: residual)
    }
  }
}
