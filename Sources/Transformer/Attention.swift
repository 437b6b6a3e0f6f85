// Grouped-query self-attention with rotary positions, optional norms, bounds and biases.

import Kernels
import Parallel
import Tensors

/// q, k, v projections → norm → bound → rotation → causal attention → output projection.
struct Attention {
  private let configuration: ModelConfiguration
  private let groups: ModelGroups
  private let layer: Int
  private let query: Projection
  private let key: Projection
  private let value: Projection
  private let output: Projection
  private let queryNorm: Parameter?
  private let keyNorm: Parameter?

  /// A product with an optional bias.
  private struct Projection {
    let weight: Parameter
    let bias: Parameter?

    /// y, the product, with the bias.
    func biased(_ y: Variable) -> Variable { bias.map { adding($0.on(y.tape), to: y) } ?? y }
  }

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, layer: Int,
    in parameters: ParameterSet
  ) {
    self.configuration = configuration
    self.groups = groups
    self.layer = layer
    let name = "model.layers.\(layer).self_attn"
    let width = configuration.width
    let headWidth = configuration.resolvedHeadWidth
    let queryWidth = configuration.heads * headWidth
    let keyWidth = configuration.keyValueHeads * headWidth
    let queryHeads = configuration.queryPlacement
    let keyValueHeads = configuration.keyValuePlacement
    func projection(_ part: String, _ rows: Int, _ placement: Placement) -> Projection {
      Projection(
        weight: parameters.declare(
          "\(name).\(part).weight", [rows, width],
          .normal(deviation: configuration.initialDeviation), placement: placement),
        bias: configuration.attentionBias
          ? parameters.declare(
            "\(name).\(part).bias", [rows], .constant(0), placement: placement) : nil)
    }
    query = projection("q_proj", queryWidth, queryHeads)
    key = projection("k_proj", keyWidth, keyValueHeads)
    value = projection("v_proj", keyWidth, keyValueHeads)
    output = Projection(
      weight: parameters.declare(
        "\(name).o_proj.weight", [width, queryWidth],
        .normal(deviation: configuration.residualDeviation),
        placement: queryHeads.of(dimension: 1)),
      bias: configuration.attentionBias
        ? parameters.declare("\(name).o_proj.bias", [width], .constant(0)) : nil)
    switch configuration.queryKeyNorm {
    case .none: (queryNorm, keyNorm) = (nil, nil)
    case .head:
      queryNorm = parameters.declare("\(name).q_norm.weight", [headWidth], .constant(1))
      keyNorm = parameters.declare("\(name).k_norm.weight", [headWidth], .constant(1))
    case .full:
      queryNorm = parameters.declare(
        "\(name).q_norm.weight", [queryWidth], .constant(1), placement: queryHeads)
      keyNorm = parameters.declare(
        "\(name).k_norm.weight", [keyWidth], .constant(1), placement: keyValueHeads)
    }
  }

  /// This rank's `rows` of x [R, H], normalised, and of the residual: gives residual + attention(x), of
  /// the `wanted` tokens (nil: all).
  ///
  /// Inside, a rank has all rows and its own heads. Ranks that share a key/value head project, normalise
  /// and rotate a part of the rows each, so that no two do the same work. Only rows by token of the
  /// vocabulary, which one rank has alone, are rotated when each of their tokens has its own.
  func callAsFunction(
    _ x: Variable, adding residual: Variable, _ rows: TokenRows, _ batch: Batch,
    wanted: WantedTokens?, rotations: RotaryTable, cache: KeyValueCache?
  ) -> Variable {
    let tape = x.tape
    let headWidth = configuration.resolvedHeadWidth
    let epsilon = configuration.normEpsilon
    let sharers = groups.keyValueSharers
    let keyShares = sharers.shares(of: rows.count)
    let all = groups.tensor.allGathered(x, counts: groups.tensor.shares(of: rows.count))
    let own = sharers.ownRows(all, counts: keyShares)
    let queries = wanted.map { AskedQueries($0.tokens, of: batch) }
    let places = queries.map { rows.of($0.tokens) } ?? rows.ofToken
    // Whichever is less: products of all rows, or of those that ask.
    let asksFirst = places.map { $0.count < rows.count } ?? false
    let asking = asksFirst ? select(all, rows: places!) : all
    let products = linears(
      [asking, own, own], [query.weight.on(tape), key.weight.on(tape), value.weight.on(tape)])
    var q = query.biased(products[0])
    var k = key.biased(products[1])
    var v = value.biased(products[2])
    switch configuration.queryKeyNorm {
    case .none: break
    case .head:
      q = rmsNorm(q, queryNorm!.on(tape), epsilon: epsilon)
      k = rmsNorm(k, keyNorm!.on(tape), epsilon: epsilon)
    case .full:
      q = groups.tensor.rmsNorm(
        q, queryNorm!.on(tape), epsilon: epsilon, width: queryNorm!.count)
      k = groups.keyValuePartners.rmsNorm(
        k, keyNorm!.on(tape), epsilon: epsilon, width: keyNorm!.count)
    }
    if configuration.clipQKV > 0 {
      q = clamped(q, to: configuration.clipQKV)
      k = clamped(k, to: configuration.clipQKV)
      v = clamped(v, to: configuration.clipQKV)
    }
    if let places, !asksFirst { q = select(q, rows: places) }
    q = rotary(
      q, headWidth: headWidth, positions: queries?.rotaryPositions ?? batch.positions, rotations)
    let positions = rows.positions(in: batch)
    if let positions {
      k = rotary(
        k, headWidth: headWidth, positions: Array(positions[sharers.ownShare(of: rows.count)]),
        rotations)
    }
    k = sharers.allGathered(k, counts: keyShares)
    v = sharers.allGathered(v, counts: keyShares)
    if let ofToken = rows.ofToken {
      k = select(k, rows: ofToken)
      v = select(v, rows: ofToken)
    }
    if positions == nil {
      k = rotary(k, headWidth: headWidth, positions: batch.positions, rotations)
    }
    var shape = AttentionShape(
      sequences: batch.sequences, queryLength: queries?.length ?? batch.length,
      keyCapacity: batch.length, heads: q.value.columns / headWidth,
      keyValueHeads: k.value.columns / headWidth, headWidth: headWidth,
      scale: 1 / Double(headWidth).squareRoot(), firstKey: queries?.firstKey ?? batch.firstKey,
      queryPositions: queries?.positions)
    if let cache {
      let seen = cache.append(layer: layer, keys: k.value, values: v.value, length: batch.length)
      shape.keyCapacity = cache.capacity
      shape.keyLengths = seen.lengths
      shape.queryPositions = queries?.positions(behind: seen.lengths.map { $0 - batch.length })
      k = tape.constant(seen.keys)
      v = tape.constant(seen.values)
    }
    var attended = attention(q, k, v, shape)
    if let taken = queries?.taken { attended = select(attended, rows: taken) }
    let y = groups.tensor.reduceScattered(
      counts: groups.tensor.shares(of: wanted?.tokens.count ?? batch.tokens.count),
      adding: rows.kept(by: wanted?.tokens).map {
        groups.tensor.rows($0, of: residual, count: rows.count)
      } ?? residual
    ) {
      linear(attended, output.weight.on(tape), adding: $0)
    }
    return output.biased(y)
  }

  /// Elements of this rank's keys (or values) of one token.
  var keyValueWidth: Int { key.weight.value.rows }
}

extension ModelConfiguration {
  /// Deviation of the projections that write into the residual stream (Radford et al. 2019).
  var residualDeviation: Double { initialDeviation / (2 * Double(layers)).squareRoot() }
}
