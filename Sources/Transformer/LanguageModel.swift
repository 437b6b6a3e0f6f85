// The decoder-only transformer: embedding, blocks, final norm, output matrix.

import Kernels
import Parallel
import Tensors

/// Pre-norm block: x + attention(norm x), then + feed-forward(norm).
struct Block {
  let inputNorm: Parameter
  let attention: Attention
  let outputNorm: Parameter
  let feedForward: FeedForward
  let epsilon: Double

  init(_ configuration: ModelConfiguration, layer: Int, in parameters: ParameterSet) {
    let name = "model.layers.\(layer)"
    epsilon = configuration.normEpsilon
    inputNorm = parameters.declare(
      "\(name).input_layernorm.weight", [configuration.width], .constant(1))
    attention = Attention(configuration, layer: layer, in: parameters)
    outputNorm = parameters.declare(
      "\(name).post_attention_layernorm.weight", [configuration.width], .constant(1))
    feedForward = FeedForward(configuration, layer: layer, in: parameters)
  }

  func callAsFunction(
    _ x: Variable, _ batch: Batch, rotations: RotaryTable, cache: KeyValueCache?
  ) -> (Variable, Routing?) {
    let attended = attention(
      rmsNorm(x, inputNorm.on(x.tape), epsilon: epsilon), adding: x, batch, rotations: rotations,
      cache: cache)
    return feedForward(
      rmsNorm(attended, outputNorm.on(x.tape), epsilon: epsilon), adding: attended)
  }
}

/// A mixture-of-experts language model. Layers say how parameters are placed; none asks for a rank.
public final class LanguageModel {
  public let configuration: ModelConfiguration
  public let parameters = ParameterSet()
  /// Whether a block's activations are kept for backward, or computed twice.
  public var recomputesBlocks = false
  private let embeddingTable: Parameter
  private let blocks: [Block]
  private let finalNorm: Parameter
  private let outputMatrix: Parameter
  private let rotations: RotaryTable
  package let device: Device

  /// What a forward pass gives.
  public struct Output {
    /// After the final norm [T, H].
    public let hidden: Variable
    /// Routers in the order of the expert layers.
    public let routings: [Routing]
  }

  /// Declares and draws all parameters. Throws `ModelConfigurationError`.
  public init(
    _ configuration: ModelConfiguration, on device: Device, mesh: ProcessMesh, seed: UInt64
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    self.device = device
    embeddingTable = parameters.declare(
      "model.embed_tokens.weight", [configuration.vocabulary, configuration.width],
      .normal(deviation: configuration.initialDeviation))
    blocks = (0..<configuration.layers).map { [parameters] in
      Block(configuration, layer: $0, in: parameters)
    }
    finalNorm = parameters.declare("model.norm.weight", [configuration.width], .constant(1))
    outputMatrix =
      configuration.tiedEmbedding
      ? embeddingTable
      : parameters.declare(
        "lm_head.weight", [configuration.vocabulary, configuration.width],
        .normal(deviation: configuration.initialDeviation))
    rotations = RotaryTable(
      headWidth: configuration.resolvedHeadWidth, positions: 512, base: configuration.rotaryBase,
      precision: device.precision)
    parameters.allocate(on: device, mesh: mesh, seed: seed)
  }

  /// Selection biases of the routers that have one, in the order of the layers.
  public var selectionBiases: [SelectionBias] {
    blocks.compactMap { block in
      if case .mixture(let mixture) = block.feedForward { mixture.router.bias } else { nil }
    }
  }

  /// The residual stream after the final norm. `observe` sees the embeddings (0), the stream after
  /// each layer (1 …), and the normed end as the last.
  public func forward(
    _ batch: Batch, on tape: Tape, cache: KeyValueCache? = nil,
    observe: ((Int, Tensor) -> Void)? = nil
  ) -> Output {
    var x = embedding(
      batch.tokens, embeddingTable.on(tape),
      frozen: configuration.paddingToken >= 0 ? Int32(configuration.paddingToken) : nil)
    observe?(0, x.value)
    var routings: [Routing] = []
    for (index, block) in blocks.enumerated() {
      let (next, routing) = run(block, x, batch, cache: cache)
      x = next
      if let routing { routings.append(routing) }
      if index < blocks.count - 1 { observe?(index + 1, x.value) }
    }
    cache?.advance(by: batch.length)
    let hidden = rmsNorm(x, finalNorm.on(tape), epsilon: configuration.normEpsilon)
    observe?(blocks.count, hidden.value)
    return Output(hidden: hidden, routings: routings)
  }

  /// hidden · output matrixᵀ: [T, V].
  public func logits(_ hidden: Variable) -> Variable {
    linear(hidden, outputMatrix.on(hidden.tape))
  }

  private func run(
    _ block: Block, _ x: Variable, _ batch: Batch, cache: KeyValueCache?
  ) -> (Variable, Routing?) {
    guard recomputesBlocks && x.tape.isRecording else {
      return block(x, batch, rotations: rotations, cache: cache)
    }
    let (outputs, routing) = recomputed(x) { [rotations] x in
      let (y, routing) = block(x, batch, rotations: rotations, cache: cache)
      return ([y] + (routing.map { [$0.logits, $0.probabilities] } ?? []), routing)
    }
    return (
      outputs[0], routing.map { $0.replacing(logits: outputs[1], probabilities: outputs[2]) }
    )
  }
}
