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

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, layer: Int,
    in parameters: ParameterSet
  ) {
    let name = "model.layers.\(layer)"
    epsilon = configuration.normEpsilon
    inputNorm = parameters.declare(
      "\(name).input_layernorm.weight", [configuration.width], .constant(1))
    attention = Attention(configuration, groups: groups, layer: layer, in: parameters)
    outputNorm = parameters.declare(
      "\(name).post_attention_layernorm.weight", [configuration.width], .constant(1))
    feedForward = FeedForward(configuration, groups: groups, layer: layer, in: parameters)
  }

  /// This rank's `rows` give those of the `wanted` tokens (nil: all).
  func callAsFunction(
    _ x: Variable, _ rows: TokenRows, _ batch: Batch, wanted: WantedTokens?, rotations: RotaryTable,
    cache: KeyValueCache?, drops: Bool
  ) -> (Variable, Routing?) {
    let attended = attention(
      rmsNorm(x, inputNorm.on(x.tape), epsilon: epsilon), adding: x, rows, batch, wanted: wanted,
      rotations: rotations, cache: cache)
    return feedForward(
      rmsNorm(attended, outputNorm.on(x.tape), epsilon: epsilon), adding: attended, batch,
      wanted: wanted, drops: drops)
  }
}

/// A mixture-of-experts language model. Layers say how parameters are placed; none asks for a rank.
public final class LanguageModel {
  public let configuration: ModelConfiguration
  public let parameters: ParameterSet
  /// Whether a block's activations are kept for backward, or computed twice.
  public var recomputesBlocks = false
  let embeddingTable: Parameter
  let blocks: [Block]
  private let finalNorm: Parameter
  let outputMatrix: Parameter
  let scalarHead: Parameter?
  private let rotations: RotaryTable
  /// The parameters' buckets of embedding, blocks and what follows them.
  private let buckets: [Int]
  package let device: Device
  let groups: ModelGroups

  /// What a forward pass gives.
  public struct Output {
    /// This rank's rows after the final norm [T, H].
    public let hidden: Variable
    /// Which of the batch's tokens they are, or of those that it asks for.
    public let tokens: Range<Int>
    /// Routers in the order of the expert layers.
    public let routings: [Routing]
  }

  /// Declares and draws all parameters, split as the mesh's layout says. Throws
  /// `ModelConfigurationError`. Those of the mesh's ranks that learn it are `learners`, nil is all.
  /// Gradients are summed in parts of `leastBucketElements` or more.
  public init(
    _ configuration: ModelConfiguration, on device: Device, mesh: ProcessMesh, seed: UInt64,
    learners: Learners? = nil, dispatch: ExpertDispatch = .automatic,
    leastBucketElements: Int = ParameterSet.usualBucketElements
  ) throws {
    try configuration.validate()
    try configuration.validate(mesh.layout)
    parameters = ParameterSet(leastBucketElements: leastBucketElements)
    self.configuration = configuration
    self.device = device
    let groups = ModelGroups(configuration, mesh: mesh, dispatch: dispatch)
    self.groups = groups
    var buckets = [parameters.beginBucket()]
    embeddingTable = parameters.declare(
      "model.embed_tokens.weight", [configuration.vocabulary, configuration.width],
      .normal(deviation: configuration.initialDeviation), placement: .split(0, over: .tensor))
    blocks = (0..<configuration.layers).map { [parameters] in
      buckets.append(parameters.beginBucket())
      return Block(configuration, groups: groups, layer: $0, in: parameters)
    }
    buckets.append(parameters.beginBucket())
    self.buckets = buckets
    finalNorm = parameters.declare("model.norm.weight", [configuration.width], .constant(1))
    outputMatrix =
      configuration.tiedEmbedding
      ? embeddingTable
      : parameters.declare(
        "lm_head.weight", [configuration.vocabulary, configuration.width],
        .normal(deviation: configuration.initialDeviation), placement: .split(0, over: .tensor))
    scalarHead = configuration.scalarHead.declare(width: configuration.width, in: parameters)
    rotations = RotaryTable(
      headWidth: configuration.resolvedHeadWidth, positions: 512, base: configuration.rotaryBase,
      precision: device.precision)
    parameters.allocate(on: device, learners: learners ?? Learners(all: mesh), seed: seed)
  }

  /// Selection biases of the routers that have one, in the order of the layers.
  public var selectionBiases: [SelectionBias] {
    blocks.compactMap { block in
      if case .mixture(let mixture) = block.feedForward { mixture.router.bias } else { nil }
    }
  }

  /// Gives all ranks what the learners have: parameters and selection biases. Every rank calls it.
  public func handOn() {
    parameters.handOn()
    for bias in selectionBiases { bias.values = parameters.learners.handOn(bias.values) }
  }

  /// This rank's rows of the residual stream after the final norm. `observe` sees its rows of the
  /// embeddings (0), of the stream after each layer (1 …), and of the normed end as the last; the end
  /// has the tokens alone that the batch asks for, and before it tokens may share rows.
  ///
  /// Experts have a capacity only where the model trains (`drops`). `onBackward` is called while
  /// backward runs: it is through with all buckets of parameters beyond the given one.
  /// `inputGradient` says where the gradient of its rows of the embeddings goes, which the table then
  /// does not get.
  public func forward(
    _ batch: Batch, on tape: Tape, cache: KeyValueCache? = nil, drops: Bool = false,
    observe: ((Int, Tensor) -> Void)? = nil, onBackward: ((Int) -> Void)? = nil,
    inputGradient: ((Tensor) -> GradientSlot)? = nil
  ) -> Output {
    func mark(_ part: Int) {
      if let onBackward { tape.record { [buckets] in onBackward(buckets[part]) } }
    }
    require(
      inputGradient == nil || batch.shared == nil, "gradients of rows that tokens share, as theirs")
    for token in batch.tokens {
      require(
        0..<Int32(configuration.vocabulary) ~= token,
        "token \(token) of a vocabulary of \(configuration.vocabulary)")
    }
    // The first layer's rows may be by token of the vocabulary: where tensor ranks have a part of the
    // tokens each, handing these rows out would cost what is spared.
    let isSeen = observe != nil || inputGradient != nil
    let byID =
      groups.tensor.isAlone && !isSeen
      ? TokenRows.byID(batch, vocabulary: configuration.vocabulary) : nil
    var rows = byID?.rows ?? TokenRows(batch)
    var x = embedded(
      byID?.ids ?? batch.shared.map { $0.tokens.map { batch.tokens[$0] } } ?? batch.tokens,
      on: tape)
    if let inputGradient { x = tape.variable(x.value, gradient: inputGradient(x.value)) }
    observe?(0, x.value)
    var routings: [Routing] = []
    routings.reserveCapacity(blocks.count)
    for (index, block) in blocks.enumerated() {
      mark(index)
      let wanted = batch.wanted(ofLastLayer: index == blocks.count - 1)
      let (next, routing) = run(
        block, x, rows, batch, wanted: wanted, cache: cache, drops: drops)
      x = next
      rows = TokenRows(batch)
      if let routing { routings.append(routing) }
      if index < blocks.count - 1 { observe?(index + 1, x.value) }
    }
    cache?.advance(by: batch.length)
    mark(blocks.count)
    let hidden = rmsNorm(x, finalNorm.on(tape), epsilon: configuration.normEpsilon)
    observe?(blocks.count, hidden.value)
    return Output(
      hidden: hidden, tokens: groups.tensor.ownShare(of: batch.outputs), routings: routings)
  }

  /// Each tensor rank looks up what its slice of the table has; the sum goes to the tokens' ranks.
  private func embedded(_ tokens: [Int32], on tape: Tape) -> Variable {
    let slice = embeddingTable.slice[0]
    func local(_ token: Int) -> Int32 {
      slice.contains(token) ? Int32(token - slice.lowerBound) : -1
    }
    let frozen = local(configuration.paddingToken)
    return groups.tensor.reduceScattered(
      embedding(
        tokens.map { local(Int($0)) }, embeddingTable.on(tape),
        frozen: frozen >= 0 ? frozen : nil),
      counts: groups.tensor.shares(of: tokens.count))
  }

  /// This rank's columns of hidden · output matrixᵀ for all `tokens` tokens: [T, V / tensor ranks].
  public func logits(_ hidden: Variable, tokens: Int) -> Variable {
    linear(
      groups.tensor.allGathered(hidden, counts: groups.tensor.shares(of: tokens)),
      outputMatrix.on(hidden.tape))
  }

  /// log p of each of this rank's tokens' labels [T, 1]; `labels` are of all the batch's outputs.
  public func logProbabilities(
    _ hidden: Variable, labels: [Int32], logits given: Variable? = nil
  ) -> Variable {
    groups.tensor.tokenLogProbabilities(
      given ?? logits(hidden, tokens: labels.count), labels: labels,
      firstColumn: outputMatrix.slice[0].lowerBound,
      counts: groups.tensor.shares(of: labels.count))
  }

  /// All columns of logits on every rank of the tensor group: [T, V].
  public func wholeLogits(_ logits: Tensor) -> Tensor {
    groups.tensor.allGatherColumns(
      logits, columns: groups.tensor.shares(of: configuration.vocabulary), on: device)
  }

  /// All tokens' rows, of which this rank has its share, on every rank of the tensor group.
  public func wholeRows(_ rows: Tensor, tokens: Int) -> Tensor {
    groups.tensor.allGather(rows, counts: groups.tensor.shares(of: tokens), on: device)
  }

  /// How tokens reach their experts in this layout.
  public var dispatch: ExpertDispatch { groups.dispatch }

  /// A cache for generation with room for `capacity` tokens of each sequence.
  public func keyValueCache(sequences: Int, capacity: Int) -> KeyValueCache {
    KeyValueCache(
      widths: blocks.map(\.attention.keyValueWidth), sequences: sequences, capacity: capacity,
      on: device)
  }

  private func run(
    _ block: Block, _ x: Variable, _ rows: TokenRows, _ batch: Batch, wanted: WantedTokens?,
    cache: KeyValueCache?, drops: Bool
  ) -> (Variable, Routing?) {
    func pass(_ x: Variable) -> (Variable, Routing?) {
      block(x, rows, batch, wanted: wanted, rotations: rotations, cache: cache, drops: drops)
    }
    guard recomputesBlocks && x.tape.isRecording else { return pass(x) }
    let (outputs, routing) = recomputed(x) { x in
      let (y, routing) = pass(x)
      return ([y] + (routing.map { [$0.logits, $0.probabilities] } ?? []), routing)
    }
    return (
      outputs[0], routing.map { $0.replacing(logits: outputs[1], probabilities: outputs[2]) }
    )
  }
}
