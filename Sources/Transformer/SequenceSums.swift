// Numbers of whole sequences, whose tokens may lie on several tensor ranks.

import Kernels
import Parallel
import Tensors

extension LanguageModel {
  /// Σ log p of each sequence's labels: [sequences, 1], alike on all ranks of the tensor group.
  ///
  /// `labels[t]` is the token that position t predicts, −100 where none counts. Each rank adds only
  /// the terms of `ownItems` of what follows from them to the objective.
  public func sequenceLogProbabilities(
    _ output: Output, labels: [Int32], _ batch: Batch
  ) -> Variable {
    sequenceSums(
      logProbabilities(output.hidden, labels: labels), of: Array(output.tokens), batch)
  }

  /// Those of `count` sequences or pairs, whose numbers the tensor group holds alike, whose terms this
  /// rank adds to the objective.
  public func ownItems(of count: Int) -> [Int] { groups.tensor.ownItems(of: count) }

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
