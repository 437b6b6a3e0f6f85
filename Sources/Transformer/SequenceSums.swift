// Numbers of whole sequences, whose tokens may lie on several tensor ranks.

import Kernels
import Parallel
import Tensors

extension LanguageModel {
  /// Σ log p of each sequence's labels: [sequences, 1], alike on all ranks of the tensor group.
  ///
  /// `labels[t]` is the token that output t predicts, −100 where none counts. Each rank adds only
  /// the terms of `ownItems` of what follows from them to the objective.
  public func sequenceLogProbabilities(
    _ output: Output, labels: [Int32], _ batch: Batch
  ) -> Variable {
    sequenceSums(
      logProbabilities(output.hidden, labels: labels),
      of: batch.asked.map { Array($0[output.tokens]) } ?? Array(output.tokens), batch)
  }

  /// Σ_v p_v (ln p_v − ln q_v) over the vocabulary for each of this rank's tokens [own, 1]: p from this
  /// model's logits, q from `reference`, another model's for the same `tokens` tokens; without it
  /// minus the entropy of p. Logits are as `logits(_:tokens:)` gives them.
  public func divergence(of logits: Variable, to reference: Tensor?, tokens: Int) -> Variable {
    groups.tensor.relativeEntropy(
      of: logits, to: reference, counts: groups.tensor.shares(of: tokens))
  }

  /// Those of `count` sequences or pairs, whose numbers the tensor group holds alike, whose terms this
  /// rank adds to the objective.
  public func ownItems(of count: Int) -> [Int] { groups.tensor.ownItems(of: count) }

  /// Numbers x [own, 1] of this rank's tokens, put into a table of `count` places: [count, 1], alike on
  /// all ranks of the tensor group. `places` rise; −1 leaves a token out, and a place that no token
  /// has holds 0.
  public func table(_ x: Variable, at places: some Sequence<Int>, count: Int) -> Variable {
    let tokens = Array(places).enumerated().filter { $0.element >= 0 }
    var starts = [Int32](repeating: 0, count: count + 1)
    for (_, place) in tokens { starts[place + 1] += 1 }
    for place in 0..<count { starts[place + 1] += starts[place] }
    let map = RowMap(
      source: tokens.map { Int32($0.element) }, starts: starts,
      positions: tokens.indices.map { Int32($0) })
    return groups.tensor.summed(combine(select(x, rows: tokens.map { Int32($0.offset) }), map))
  }

  /// Σ over each sequence of the numbers x [tokens, 1] of this rank's `tokens`, which rise.
  func sequenceSums(_ x: Variable, of tokens: [Int], _ batch: Batch) -> Variable {
    let sequences = tokens.map { Int32($0 / batch.length) }
    var starts = [Int32](repeating: 0, count: batch.sequences + 1)
    for sequence in sequences { starts[Int(sequence) + 1] += 1 }
    for sequence in 0..<batch.sequences { starts[sequence + 1] += starts[sequence] }
    let map = RowMap(
      source: sequences, starts: starts, positions: tokens.indices.map { Int32($0) })
    return groups.tensor.summed(combine(x, map))
  }
}
