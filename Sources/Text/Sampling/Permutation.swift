// A shuffled order that is computed place by place and never stored.

/// A permutation of 0..<count, drawn by a key (a Feistel network, with cycle walking).
package struct Permutation: Sendable {
  package let count: Int
  private let key: UInt64
  /// The network works on twice as many bits.
  private let halfBits: UInt64

  private static let rounds: UInt64 = 8

  package init(of count: Int, key: UInt64) {
    check(count > 0, "a permutation of \(count)")
    self.count = count
    self.key = key
    let bits = max(2, Int.bitWidth - (count - 1).leadingZeroBitCount)
    halfBits = UInt64((bits + 1) / 2)
  }

  /// The element at this place. On average four rounds through the network or fewer.
  package subscript(place: Int) -> Int {
    check(place >= 0 && place < count, "place \(place) of \(count)")
    var word = UInt64(place)
    // The network permutes a power of 4; elements outside the range are passed on.
    repeat { word = encrypted(word) } while word >= UInt64(count)
    return Int(word)
  }

  private func encrypted(_ word: UInt64) -> UInt64 {
    let mask = (1 << halfBits) - 1 as UInt64
    var (left, right) = (word >> halfBits, word & mask)
    for round in 0..<Self.rounds {
      (left, right) = (right, left ^ (randomWord(key, round, right) & mask))
    }
    return left << halfBits | right
  }
}
