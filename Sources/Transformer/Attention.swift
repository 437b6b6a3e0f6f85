// Grouped-query self-attention with rotary positions, optional norms, bounds and biases.

import Kernels
import Parallel
import Tensors

/// q, k, v projections → norm → bound → rotation → causal attention → output projection.
struct Attention {
  private let configuration: ModelConfiguration
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

    func callAsFunction(_ x: Variable, adding residual: Variable? = nil) -> Variable {
      let y = linear(x, weight.on(x.tape), adding: residual)
      return bias.map { adding($0.on(x.tape), to: y) } ?? y
    }
  }

  init(_ configuration: ModelConfiguration, layer: Int, in parameters: ParameterSet) {
    self.configuration = configuration
    self.layer = layer
    let name = "model.layers.\(layer).self_attn"
    let width = configuration.width
    let headWidth = configuration.resolvedHeadWidth
    let queryWidth = configuration.heads * headWidth
    let keyWidth = configuration.keyValueHeads * headWidth
    func projection(_ part: String, _ rows: Int, _ columns: Int, _ deviation: Double) -> Projection
    {
      Projection(
        weight: parameters.declare(
          "\(name).\(part).weight", [rows, columns], .normal(deviation: deviation)),
        bias: configuration.attentionBias
          ? parameters.declare("\(name).\(part).bias", [rows], .constant(0)) : nil)
    }
    query = projection("q_proj", queryWidth, width, configuration.initialDeviation)
    key = projection("k_proj", keyWidth, width, configuration.initialDeviation)
    value = projection("v_proj", keyWidth, width, configuration.initialDeviation)
    output = projection("o_proj", width, queryWidth, configuration.residualDeviation)
    switch configuration.queryKeyNorm {
    case .none: (queryNorm, keyNorm) = (nil, nil)
    case .head:
      queryNorm = parameters.declare("\(name).q_norm.weight", [headWidth], .constant(1))
      keyNorm = parameters.declare("\(name).k_norm.weight", [headWidth], .constant(1))
    case .full:
      queryNorm = parameters.declare("\(name).q_norm.weight", [queryWidth], .constant(1))
      keyNorm = parameters.declare("\(name).k_norm.weight", [keyWidth], .constant(1))
    }
  }

  /// x [T, H] normalised, residual [T, H]: gives residual + attention(x).
  func callAsFunction(
    _ x: Variable, adding residual: Variable, _ batch: Batch, rotations: RotaryTable,
    cache: KeyValueCache?
  ) -> Variable {
    let headWidth = configuration.resolvedHeadWidth
    let epsilon = configuration.normEpsilon
    var q = query(x)
    var k = key(x)
    var v = value(x)
    if let queryNorm { q = rmsNorm(q, queryNorm.on(x.tape), epsilon: epsilon) }
    if let keyNorm { k = rmsNorm(k, keyNorm.on(x.tape), epsilon: epsilon) }
    if configuration.clipQKV > 0 {
      q = clamped(q, to: configuration.clipQKV)
      k = clamped(k, to: configuration.clipQKV)
      v = clamped(v, to: configuration.clipQKV)
    }
    q = rotary(q, headWidth: headWidth, positions: batch.positions, rotations)
    k = rotary(k, headWidth: headWidth, positions: batch.positions, rotations)
    var shape = AttentionShape(
      sequences: batch.sequences, queryLength: batch.length, keyCapacity: batch.length,
      heads: configuration.heads, keyValueHeads: configuration.keyValueHeads, headWidth: headWidth,
      scale: 1 / Double(headWidth).squareRoot(), keyLengths: nil, firstKey: batch.firstKey)
    if let cache {
      let all = cache.append(layer: layer, keys: k.value, values: v.value, length: batch.length)
      shape.keyCapacity = cache.capacity
      shape.keyLengths = all.lengths
      k = x.tape.constant(all.keys)
      v = x.tape.constant(all.values)
    }
    return output(attention(q, k, v, shape), adding: residual)
  }
}

extension ModelConfiguration {
  /// Deviation of the projections that write into the residual stream (Radford et al. 2019).
  var residualDeviation: Double { initialDeviation / (2 * Double(layers)).squareRoot() }
}
