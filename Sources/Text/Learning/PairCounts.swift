// Counts of neighbouring tokens, kept up to date while they are merged.

/// All words as tokens, and for each pair its count and the words that may hold it.
struct PairCounts {
  private struct Pair {
    let left: Int32
    let right: Int32
    var count = 0
    var words: [Int32] = []
  }

  /// A pair as it was counted when it was queued; the count may have fallen since.
  private struct Candidate: Comparable {
    let count: Int
    let left: Int32
    let right: Int32
    let index: Int32

    /// The highest count first; among equals the lowest pair.
    static func < (a: Candidate, b: Candidate) -> Bool {
      a.count != b.count ? a.count > b.count : (a.left, a.right) < (b.left, b.right)
    }
  }

  private var words: [[Int32]]
  private let counts: [Int]
  private var pairs: [Pair] = []
  private var indices = PairTable<Int32>()
  private var queue = PriorityQueue<Candidate>()
  /// Pairs that one merge made more frequent.
  private var grown: Set<Int32> = []

  init(words: [[Int32]], counts: [Int]) {
    self.words = words
    self.counts = counts
    for (word, tokens) in words.enumerated() {
      for (left, right) in zip(tokens, tokens.dropFirst()) {
        change(left, right, by: counts[word], in: Int32(word))
      }
    }
    queueGrown()
  }

  /// The most frequent pair, which is removed from the queue; nil if none occurs `minimum` times.
  mutating func removeMostFrequent(minimum: Int) -> (left: Int32, right: Int32)? {
    while let best = queue.removeFirst() {
      let count = pairs[Int(best.index)].count
      guard count == best.count else {
        if count > 0 { enqueue(best.index) }
        continue
      }
      return count >= minimum ? (best.left, best.right) : nil
    }
    return nil
  }

  /// Makes every pair `left right` one token.
  mutating func merge(_ left: Int32, _ right: Int32, into result: Int32) {
    guard let index = indices[left, right] else { return }
    let holders = pairs[Int(index)].words
    pairs[Int(index)].words = []
    for word in holders { merge(left, right, into: result, in: word) }
    pairs[Int(index)].count = 0
    queueGrown()
  }

  private mutating func merge(
    _ left: Int32, _ right: Int32, into result: Int32, in word: Int32
  ) {
    var tokens: [Int32] = []
    swap(&tokens, &words[Int(word)])
    let count = counts[Int(word)]
    var write = 0
    var read = 0
    while read < tokens.count {
      guard read + 1 < tokens.count, tokens[read] == left, tokens[read + 1] == right else {
        tokens[write] = tokens[read]
        write += 1
        read += 1
        continue
      }
      if write > 0 {
        change(tokens[write - 1], left, by: -count, in: word)
        change(tokens[write - 1], result, by: count, in: word)
      }
      if read + 2 < tokens.count {
        change(right, tokens[read + 2], by: -count, in: word)
        change(result, tokens[read + 2], by: count, in: word)
      }
      tokens[write] = result
      write += 1
      read += 2
    }
    tokens.removeLast(tokens.count - write)
    swap(&tokens, &words[Int(word)])
  }

  private mutating func change(_ left: Int32, _ right: Int32, by amount: Int, in word: Int32) {
    let index: Int32
    if let known = indices[left, right] {
      index = known
    } else {
      index = Int32(pairs.count)
      indices[left, right] = index
      pairs.append(Pair(left: left, right: right))
    }
    pairs[Int(index)].count += amount
    guard amount > 0 else { return }
    grown.insert(index)
    if pairs[Int(index)].words.last != word { pairs[Int(index)].words.append(word) }
  }

  private mutating func queueGrown() {
    // The queue's order is total, so the set's order leaves no trace.
    for index in grown where pairs[Int(index)].count > 0 { enqueue(index) }
    grown.removeAll(keepingCapacity: true)
  }

  private mutating func enqueue(_ index: Int32) {
    let pair = pairs[Int(index)]
    queue.insert(
      Candidate(count: pair.count, left: pair.left, right: pair.right, index: index))
  }
}
