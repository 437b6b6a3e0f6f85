// The pairs of a batch whose terms this rank adds: of numbers that its tensor group holds alike.

import Tensors
import Training
import Transformer

/// Numbers of a batch's sequences [2 · pairs, 1], chosen completions first, cut to this rank's pairs.
struct OwnPairs {
  let chosen: Variable
  let rejected: Variable
  /// Which of the batch's pairs they are.
  let places: [Int]

  init(_ numbers: Variable, of batch: PairBatch, on model: LanguageModel) {
    places = model.ownItems(of: batch.pairs)
    chosen = select(numbers, rows: places.map { Int32($0) })
    rejected = select(numbers, rows: places.map { Int32(batch.pairs + $0) })
  }

  var values: Paired<Double> {
    Paired(chosen: chosen.value.elements, rejected: rejected.value.elements)
  }

  /// Of values for all pairs of the batch, those of this rank's.
  func own<Value>(_ all: [Value]) -> [Value] { places.map { all[$0] } }

  func own<Value: Sendable>(_ all: Paired<Value>) -> Paired<Value> {
    Paired(chosen: own(all.chosen), rejected: own(all.rejected))
  }
}
