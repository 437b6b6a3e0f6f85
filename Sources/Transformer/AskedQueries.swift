// Queries of some tokens alone.

import Kernels

/// Queries of the tokens that are asked for, as many in each sequence: places that are left over in a
/// sequence with fewer hold no token and see no key.
struct AskedQueries {
  /// In each sequence.
  let length: Int
  /// The token of each place, −1 for none.
  let tokens: [Int32]
  let rotaryPositions: [Int32]
  /// Where each stands among its sequence's keys.
  let positions: [Int32]
  /// The first key that each sees.
  let firstKey: [Int32]
  /// The places that hold a token, in the order of the tokens; nil where all do.
  let taken: [Int32]?

  /// `asked` rise.
  init(_ asked: [Int], of batch: Batch) {
    require(
      zip(asked, asked.dropFirst()).allSatisfy(<) && (asked.first ?? 0) >= 0
        && (asked.last ?? -1) < batch.tokens.count,
      "outputs of \(asked.count) tokens that do not rise within \(batch.tokens.count)")
    var counts = [Int](repeating: 0, count: batch.sequences)
    for token in asked { counts[token / batch.length] += 1 }
    let length = max(counts.max() ?? 0, 1)
    let count = batch.sequences * length
    var tokens = [Int32](repeating: -1, count: count)
    var rotaryPositions = [Int32](repeating: 0, count: count)
    var positions = [Int32](repeating: Int32(batch.length - 1), count: count)
    var firstKey = [Int32](repeating: .max, count: count)
    var taken: [Int32] = []
    taken.reserveCapacity(asked.count)
    var next = (0..<batch.sequences).map { $0 * length }
    for token in asked {
      let place = next[token / batch.length]
      next[token / batch.length] += 1
      tokens[place] = Int32(token)
      rotaryPositions[place] = batch.positions[token]
      positions[place] = Int32(token % batch.length)
      firstKey[place] = batch.firstKey?[token] ?? 0
      taken.append(Int32(place))
    }
    self.length = length
    self.tokens = tokens
    self.rotaryPositions = rotaryPositions
    self.positions = positions
    self.firstKey = firstKey
    self.taken = asked.count < count ? taken : nil
  }
}

extension AskedQueries {
  /// Where queries stand when so many keys of each sequence come before the batch's.
  func positions(behind keys: [Int]) -> [Int32] {
    positions.indices.map { positions[$0] + Int32(keys[$0 / length]) }
  }
}
