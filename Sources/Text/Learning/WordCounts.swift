// How often each word stands in a text: what byte-pair training looks at.

/// Counts words in the order in which they are first met.
struct WordCounts: WordSink {
  private(set) var words: [[UInt8]] = []
  private(set) var counts: [Int] = []
  private var indices: [[UInt8]: Int32] = [:]
  /// In front of the dictionary, which must make an array for each look.
  private var cache = WordCache()
  private var found: [Int32] = []

  mutating func take(_ word: Span<UInt8>) {
    found.removeAll(keepingCapacity: true)
    let hash = WordCache.hash(word)
    if !cache.append(word, hash: hash, to: &found) {
      found.append(index(of: word.indices.map { word[$0] }))
      cache.insert(word, hash: hash, tokens: found[...])
    }
    counts[Int(found[0])] += 1
  }

  mutating func take(addedToken: Int32) {}

  private mutating func index(of word: [UInt8]) -> Int32 {
    if let known = indices[word] { return known }
    let new = Int32(words.count)
    indices[word] = new
    words.append(word)
    counts.append(0)
    return new
  }
}
