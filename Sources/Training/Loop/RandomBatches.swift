// Batches of keyed random tokens, for measurements and proofs that need no text.

import Kernels
import Parallel
import Transformer

/// Sequences of uniformly drawn tokens, the same list whatever the layout.
public struct RandomBatches: Sendable {
  private let vocabulary: Int
  private let batch: Int
  private let microBatch: Int
  private let length: Int
  private let key: RandomKey
  /// Whether batches ask for the tokens alone that predict an even one.
  private let asksForSome: Bool
  /// Whether every other sequence begins as the one before, and rows of equal beginnings are shared.
  private let shares: Bool

  /// The batch's sizes are the configuration's, whose vocabulary is known.
  public init(_ configuration: RunConfiguration, seed: UInt64, asksForSome: Bool = false) {
    vocabulary = configuration.model.vocabulary
    batch = configuration.training.batch
    microBatch = configuration.training.microBatch
    length = configuration.data.sequenceLength
    key = RandomKey(seed: seed, name: "random batches")
    self.asksForSome = asksForSome
    let router = configuration.model.router
    shares = asksForSome && router.capacityFactor == 0 && !router.balancesSequences
  }

  /// This data rank's share of a step's samples, in micro-batches; as many on every rank.
  public func microBatches(step: Int, over data: Communicator) -> [MicroBatch] {
    let stepKey = key.derived(UInt64(step))
    let windows = data.ownShare(of: batch).map { sample in
      (0...length).map { place in
        let drawn = shares && 2 * place < length ? sample / 2 * 2 : sample
        return Int32(
          uniformInteger(
            stepKey, counter: UInt64(drawn * (length + 1) + place), below: vocabulary))
      }
    }
    let batches = windows.microBatches(of: microBatch, length: length, dealing: batch, over: data)
    guard asksForSome else { return batches }
    return batches.map { micro in
      let asking = micro.asking { $0.isMultiple(of: 2) }
      return shares ? asking.sharingBeginnings() : asking
    }
  }
}

extension [[Int32]] {
  /// Windows of `length` + 1 tokens, this rank's of `batch`, cut into batches of `size` (0 is all):
  /// every rank gets as many, the last may hold none.
  func microBatches(
    of size: Int, length: Int, dealing batch: Int, over data: Communicator
  ) -> [MicroBatch] {
    parts(of: size, dealing: batch, over: data).map { part in
      MicroBatch(
        Batch(tokens: part.flatMap { $0.dropLast() }, sequences: part.count, length: length),
        labels: part.flatMap { $0.dropFirst() })
    }
  }
}

extension Array {
  /// This rank's of `batch` samples in parts of `size` (0 is one part): every rank gets as many parts,
  /// the last may hold none.
  package func parts(of size: Int, dealing batch: Int, over data: Communicator) -> [ArraySlice<
    Element
  >] {
    let largest = (batch + data.size - 1) / data.size
    let size = size == 0 ? largest : Swift.min(size, largest)
    return stride(from: 0, to: largest, by: size).map { dropFirst($0).prefix(size) }
  }
}
