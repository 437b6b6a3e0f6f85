// Every differentiable operation, on small operands of odd sizes: the list that the
// finite-difference test walks. A new operation is one row here.

import Kernels

extension OperationCase {
  /// All operations.
  public static let all: [OperationCase] =
    products + rows + attentionParts + elementwise + losses + routing

  private static let products: [OperationCase] = [
    OperationCase("linear", [[5, 7], [3, 7]]) { linear($0[0], $0[1]) },
    OperationCase("linear with residual", [[5, 7], [3, 7], [5, 3]]) {
      linear($0[0], $0[1], adding: $0[2])
    },
    OperationCase("linear, operand used twice", [[5, 7], [7, 7]]) {
      linear(linear($0[0], $0[1]), $0[1], adding: $0[0])
    },
    OperationCase("linears", [[5, 7], [3, 7], [3, 3], [3, 7]]) {
      let inner = linear($0[0], $0[1])
      let results = linears([$0[0], inner, $0[0]], [$0[1], $0[2], $0[3]])
      return sum(sum(results[0], results[1]), results[2])
    },
    OperationCase("row-stable linear", [[5, 19], [3, 19]]) { rowStableLinear($0[0], $0[1]) },
    OperationCase("grouped linear, one group empty", [[6, 5], [3, 4, 5]]) {
      groupedLinear($0[0], offsets: [0, 2, 2, 6], $0[1])
    },
    OperationCase("gated linear, silu, row weights", [[6, 10], [6, 1], [3, 4, 5]]) {
      gatedLinear($0[0], rowWeights: $0[1], .silu, offsets: [0, 1, 1, 6], $0[2])
    },
    OperationCase("gated linear, silu", [[6, 10], [1, 4, 5]]) {
      gatedLinear($0[0], rowWeights: nil, .silu, offsets: [0, 6], $0[1])
    },
    OperationCase(
      "gated linear, relu", [[6, 10], [1, 4, 5]],
      prepare: { abs($1) < 0.05 ? $1 + 0.2 : $1 }
    ) {
      gatedLinear($0[0], rowWeights: nil, .relu, offsets: [0, 6], $0[1])
    },
    OperationCase("gated linear, gates used twice", [[6, 3], [2, 10, 3], [2, 4, 5]]) {
      let gates = groupedLinear($0[0], offsets: [0, 4, 6], $0[1])
      let hidden = gatedLinear(
        gates, rowWeights: nil, .silu, offsets: [0, 4, 6], $0[2])
      return sum(
        hidden,
        gatedLinear(gates, rowWeights: nil, .silu, offsets: [0, 4, 6], $0[2]))
    },
    OperationCase("gated linear after grouped linear", [[6, 3], [2, 10, 3], [2, 4, 5]]) {
      gatedLinear(
        groupedLinear($0[0], offsets: [0, 4, 6], $0[1]), rowWeights: nil, .silu,
        offsets: [0, 4, 6], $0[2])
    },
  ]

  /// Tokens 0, 1, 2 copied to places 1; 0, 3; 2, 4.
  private static let map = RowMap(
    source: [1, 0, 2, 1, 2], starts: [0, 1, 3, 5], positions: [1, 0, 3, 2, 4])

  private static let rows: [OperationCase] = [
    OperationCase("embedding", [[5, 7]]) { embedding([3, 0, 3, 4], $0[0]) },
    OperationCase("gather", [[3, 7]]) { gather($0[0], map) },
    OperationCase("gather, made again for a product", [[3, 7], [4, 7]]) {
      linear(gather($0[0], map), $0[1])
    },
    OperationCase("combine", [[5, 7]]) { combine($0[0], map) },
    OperationCase("combine with residual", [[5, 7], [3, 7]]) {
      combine($0[0], map, adding: $0[1])
    },
    OperationCase("permuted rows", [[4, 3]]) { select($0[0], rows: [2, 0, 3, 1]) },
    OperationCase("chosen rows", [[4, 3]]) { select($0[0], rows: [3, 1]) },
    OperationCase("chosen rows and gaps", [[4, 3]]) { select($0[0], rows: [3, -1, 1]) },
    OperationCase("embedding of a slice", [[4, 3]]) { embedding([2, -1, 0, 2], $0[0]) },
  ]

  private static let attentionParts: [OperationCase] = [
    OperationCase("RMS norm", [[5, 7], [7]]) { rmsNorm($0[0], $0[1], epsilon: 1e-5) },
    OperationCase("RMS norm by heads", [[5, 12], [4]]) { rmsNorm($0[0], $0[1], epsilon: 1e-5) },
    OperationCase("RMS norm, made again for two products", [[5, 7], [7], [3, 7], [3, 7]]) {
      let x = rmsNorm($0[0], $0[1], epsilon: 1e-5)
      return sum(linear(x, $0[2]), linear(x, $0[3]))
    },
    OperationCase("rotary embedding", [[5, 12]]) {
      rotary(
        $0[0], headWidth: 6, positions: [0, 1, 2, 0, 9],
        RotaryTable(headWidth: 6, positions: 16, base: 10_000, precision: .float64))
    },
    OperationCase("attention", [[10, 12], [10, 6], [10, 6]]) {
      attention(
        $0[0], $0[1], $0[2],
        AttentionShape(
          sequences: 2, queryLength: 5, keyCapacity: 5, heads: 4, keyValueHeads: 2, headWidth: 3,
          scale: 0.6))
    },
    OperationCase("attention, padded", [[10, 8], [10, 4], [10, 4]]) {
      attention(
        $0[0], $0[1], $0[2],
        AttentionShape(
          sequences: 2, queryLength: 5, keyCapacity: 5, heads: 2, keyValueHeads: 1, headWidth: 4,
          scale: 0.5, firstKey: [0, 0, 0, 3, 3, 2, 2, 2, 2, 2]))
    },
    OperationCase("recomputed part", [[5, 7], [7, 7]]) { operands in
      let weight = operands[1]
      let (outputs, _) = recomputed(operands[0]) { x in
        // The weight is used through its own tape's slot, as a parameter is.
        let w = x.tape === weight.tape ? weight : x.tape.sharing(weight)
        return ([linear(x, w, adding: x), scaled(x, by: 2)], ())
      }
      return sum(outputs[0], multiplied(outputs[1], outputs[0]))
    },
  ]

  private static let elementwise: [OperationCase] = [
    OperationCase("sum", [[4, 3], [4, 3]]) { sum($0[0], $0[1]) },
    OperationCase("sum with itself", [[4, 3]]) { sum($0[0], $0[0]) },
    OperationCase("bias", [[4, 3], [3]]) { adding($0[1], to: $0[0]) },
    OperationCase(
      "bound", [[4, 5]], prepare: { abs(abs($1) - 0.7) < 0.01 ? $1 * 1.1 : $1 }
    ) { clamped($0[0], to: 0.7) },
    OperationCase("scaling by a number", [[4, 3]]) { scaled($0[0], by: 1.7) },
    OperationCase("scaling by a learned scalar", [[4, 3], [1]]) { scaled($0[0], by: $0[1]) },
    OperationCase("product of elements", [[4, 3], [4, 3]]) { multiplied($0[0], $0[1]) },
    OperationCase("square", [[4, 3]]) { multiplied($0[0], $0[0]) },
    OperationCase("weighted sum of scalars", [[1], [1]]) {
      weightedSum([(0.3, $0[0]), (1.9, $0[1])])
    },
    OperationCase("other shape", [[4, 3]]) { reshaped($0[0], [6, 2]) },
  ]

  private static let losses: [OperationCase] = [
    OperationCase("token log-probabilities", [[4, 9]]) {
      tokenLogProbabilities($0[0], labels: [8, -100, 0, 3])
    },
    OperationCase("token log-probabilities of a product", [[4, 5], [9, 5]]) {
      tokenLogProbabilities(linear($0[0], $0[1]), labels: [8, -100, 0, 3])
    },
    OperationCase("token log-probabilities, logits used twice", [[4, 5], [9, 5]]) {
      let logits = linear($0[0], $0[1])
      return sum(
        tokenLogProbabilities(logits, labels: [8, -100, 0, 3]),
        sum(logSumExp(logits), tokenLogProbabilities(logits, labels: [1, 2, 3, 4])))
    },
    OperationCase("scaled sum", [[4, 3]]) { scaledSum($0[0], factor: -0.25) },
    OperationCase("scalar computed elsewhere", [[4, 1], [2, 2]]) { operands in
      let (a, b) = (operands[0].value.elements, operands[1].value.elements)
      let products = zip(a, b).map { $0 * $1 }
      return scalar(
        zip(products, a).reduce(0) { $0 + $1.0 * $1.1 },
        from: [(operands[0], products.map { 2 * $0 }), (operands[1], a.map { $0 * $0 })])
    },
    OperationCase("relative entropy", [[3, 19]]) {
      let device = $0[0].tape.device
      return relativeEntropy(
        of: $0[0], to: device.tensor([3, 19], (0..<57).map { Double($0 * $0 % 7) / 3 }))
    },
    OperationCase("entropy", [[4, 5]]) { entropy(of: $0[0]) },
    OperationCase("relative entropy, logits used twice", [[4, 5], [9, 5]]) {
      let logits = linear($0[0], $0[1])
      return sum(
        tokenLogProbabilities(logits, labels: [8, -100, 0, 3]),
        relativeEntropy(of: logits, to: logits.tape.device.tensor([4, 9], filledWith: 0.5)))
    },
    OperationCase("weighted total", [[4, 3]]) {
      weightedTotal(
        $0[0], weights: $0[0].tape.device.tensor([4, 3], (0..<12).map { Double($0) - 4 }))
    },
  ]

  private static let routing: [OperationCase] = [
    OperationCase("softmax", [[4, 5]]) { softmax($0[0]) },
    OperationCase("sigmoid", [[4, 5]]) { sigmoid($0[0]) },
    OperationCase("chosen scores", [[3, 5]]) {
      chosenScores(
        $0[0], starts: [0, 2, 3, 6], experts: [1, 4, 0, 2, 3, 4], renormalised: false)
    },
    OperationCase(
      "chosen scores, renormalised", [[3, 5]], prepare: { abs($1) + 0.1 }
    ) {
      chosenScores(
        $0[0], starts: [0, 2, 3, 6], experts: [1, 4, 0, 2, 3, 4], renormalised: true)
    },
    OperationCase("row-normalised", [[3, 5]], prepare: { abs($1) + 0.1 }) {
      rowNormalised($0[0])
    },
    OperationCase("log-sum-exp", [[4, 5]]) { logSumExp($0[0]) },
  ]
}

extension Tape {
  /// A variable of another tape as an operand here, with the same gradient slot.
  func sharing(_ other: Variable) -> Variable {
    other.gradient.map { variable(other.value, gradient: $0) } ?? constant(other.value)
  }
}
