// Keys and values of the tokens seen so far, for generation.

import Kernels
import Tensors

/// Room for `capacity` tokens of each of `sequences` sequences, in every layer.
public final class KeyValueCache {
  /// Tokens seen of each sequence.
  public private(set) var lengths: [Int]
  public let capacity: Int
  /// For each layer, [sequences · capacity, width].
  private var layers: [(keys: Tensor, values: Tensor)]
  private let device: Device

  /// `widths` are each layer's elements of a token's keys on this rank.
  init(widths: [Int], sequences: Int, capacity: Int, on device: Device) {
    lengths = Array(repeating: 0, count: sequences)
    self.capacity = capacity
    self.device = device
    layers = widths.map { width in
      let shape: TensorShape = [sequences * capacity, width]
      return (device.tensor(shape), device.tensor(shape))
    }
  }

  /// Puts `length` new rows of each sequence behind those that a layer has; returns all its keys
  /// and values, and how many each sequence has of them.
  func append(
    layer: Int, keys: Tensor, values: Tensor, length: Int
  ) -> (keys: Tensor, values: Tensor, lengths: [Int]) {
    let all = layers[layer]
    var first = 0
    while first < lengths.count {
      // Neighbours of equal length are written at once.
      let seen = lengths[first]
      require(seen + length <= capacity, "\(seen) + \(length) tokens in a cache of \(capacity)")
      let end = lengths[first...].firstIndex { $0 != seen } ?? lengths.count
      write(keys, to: all.keys, sequences: first..<end, seen: seen, length: length)
      write(values, to: all.values, sequences: first..<end, seen: seen, length: length)
      first = end
    }
    return (all.keys, all.values, lengths.map { $0 + length })
  }

  /// Each sequence's new rows lie together, and so do their places: one row of a matrix for both.
  private func write(
    _ new: Tensor, to all: Tensor, sequences: Range<Int>, seen: Int, length: Int
  ) {
    let width = new.columns
    let source = new.reshaped([lengths.count, length * width]).matrix
    let target = all.reshaped([lengths.count, capacity * width]).matrix
      .columns(seen * width, count: length * width)
    copy(
      source.rows(sequences.lowerBound, count: sequences.count),
      into: target.rows(sequences.lowerBound, count: sequences.count), team: device.team)
  }

  /// Forgets all sequences but these, whose numbers rise.
  func keep(_ sequences: [Int]) {
    let all = lengths.count
    func kept(_ tensor: Tensor) -> Tensor {
      let rows = tensor.reshaped([all, capacity * tensor.columns]).matrix
      for (place, sequence) in sequences.enumerated() where place < sequence {
        let used = lengths[sequence] * tensor.columns
        copy(
          rows.rows(sequence, count: 1).columns(0, count: used),
          into: rows.rows(place, count: 1).columns(0, count: used), team: device.team)
      }
      return tensor.slices(0, count: sequences.count * capacity)
    }
    layers = layers.map { (kept($0.keys), kept($0.values)) }
    lengths = sequences.map { lengths[$0] }
  }

  /// Counts `length` tokens as seen, after every layer has appended them.
  func advance(by length: Int) { lengths = lengths.map { $0 + length } }
}
