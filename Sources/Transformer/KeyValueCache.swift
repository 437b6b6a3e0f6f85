// Keys and values of the tokens seen so far, for generation.

import Kernels
import Tensors

/// Room for `capacity` tokens of each of `sequences` sequences, in every layer.
public final class KeyValueCache {
  /// Tokens seen of each sequence.
  public private(set) var lengths: [Int]
  public let capacity: Int
  /// For each layer, [sequences · capacity, width].
  private let layers: [(keys: Tensor, values: Tensor)]
  private let device: Device

  /// `widths` are each layer's elements of a token's keys on this rank.
  init(widths: [Int], sequences: Int, capacity: Int, on device: Device) {
    lengths = Array(repeating: 0, count: sequences)
    self.capacity = capacity
    self.device = device
    layers = widths.map { width in
      let shape = [sequences * capacity, width]
      return (device.tensor(shape), device.tensor(shape))
    }
  }

  /// Puts `length` new rows of each sequence behind those that a layer has; returns all its keys
  /// and values, and how many each sequence has of them.
  func append(
    layer: Int, keys: Tensor, values: Tensor, length: Int
  ) -> (keys: Tensor, values: Tensor, lengths: [Int]) {
    for (sequence, seen) in lengths.enumerated() {
      require(seen + length <= capacity, "\(seen) + \(length) tokens in a cache of \(capacity)")
      for (new, all) in [(keys, layers[layer].keys), (values, layers[layer].values)] {
        copy(
          new.matrix.rows(sequence * length, count: length),
          into: all.matrix.rows(sequence * capacity + seen, count: length), team: device.team)
      }
    }
    return (layers[layer].keys, layers[layer].values, lengths.map { $0 + length })
  }

  /// Counts `length` tokens as seen, after every layer has appended them.
  func advance(by length: Int) { lengths = lengths.map { $0 + length } }

  /// Forgets the last tokens of each sequence beyond `kept`.
  public func truncate(to kept: [Int]) {
    require(
      zip(kept, lengths).allSatisfy { $0 <= $1 }, "cannot keep \(kept) of \(lengths) tokens")
    lengths = kept
  }
}
