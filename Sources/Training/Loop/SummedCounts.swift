// Counts of micro-batches added up, and over ranks.

import Parallel
import Transformer

extension BatchCounts {
  package static func + (a: BatchCounts, b: BatchCounts) -> BatchCounts {
    BatchCounts(
      labels: a.labels + b.labels, tokens: a.tokens + b.tokens,
      routed: zip(a.routed, b.routed).map(+), sequences: a.sequences + b.sequences,
      expertChoices: zip(a.expertChoices, b.expertChoices).map { zip($0, $1).map(+) })
  }

  /// The sum over ranks of everything, in one collective.
  func summed(over ranks: Communicator) -> BatchCounts { combined { ranks.sum($0) } }

  /// What comes of everything in one list.
  func combined(by combine: ([Int]) -> [Int]) -> BatchCounts {
    var sums = combine([labels, tokens] + routed + [sequences] + expertChoices.joined())[...]
    func next() -> Int { sums.removeFirst() }
    return BatchCounts(
      labels: next(), tokens: next(), routed: routed.map { _ in next() }, sequences: next(),
      expertChoices: expertChoices.map { $0.map { _ in next() } })
  }
}
