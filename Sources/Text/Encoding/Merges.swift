// Byte-pair merging of one word (Sennrich et al. 2016): the rule of lowest rank first.

/// What joins two tokens.
struct MergeRule: Sendable, Equatable {
  let left: Int32
  let right: Int32
  let result: Int32
}

/// The merges of a vocabulary, by rank, and the tokens of single bytes.
struct Merges: Sendable {
  let rules: [MergeRule]
  let byteTokens: [Int32]
  /// From a pair to its rule's rank.
  private let ranks: PairTable<Int32>

  init(rules: [MergeRule], byteTokens: [Int32]) {
    self.rules = rules
    self.byteTokens = byteTokens
    var ranks = PairTable<Int32>(minimumCapacity: rules.count)
    for (rank, rule) in rules.enumerated() { ranks[rule.left, rule.right] = Int32(rank) }
    self.ranks = ranks
  }

  @inline(__always)
  func rank(_ left: Int32, _ right: Int32) -> Int32? { ranks[left, right] }
}

/// Applies merges to one word after another, with its own reused memory.
struct WordMerger: Sendable {
  private var tokens: [Int32] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  /// Rank in the upper half, place in the lower: lowest rank first, leftmost among equals.
  private var queue = PriorityQueue<UInt64>()

  /// Appends the tokens of `word`. Time grows as n log n.
  mutating func append(_ word: Span<UInt8>, by merges: Merges, to output: inout [Int32]) {
    let count = word.count
    tokens.removeAll(keepingCapacity: true)
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    queue.removeAll()
    for index in 0..<count {
      tokens.append(merges.byteTokens[Int(word[index])])
      next.append(index + 1 < count ? Int32(index + 1) : -1)
      previous.append(Int32(index) - 1)
    }
    for index in 0..<max(count - 1, 0) { enqueue(index, merges) }
    while let entry = queue.removeFirst() {
      let place = Int(entry & 0xffff_ffff)
      let result = merges.rules[Int(entry >> 32)].result
      merge(at: place, into: result, merges)
    }
    for token in tokens where token >= 0 { output.append(token) }
  }

  /// Joins the pair at `place`, unless it is no longer there.
  private mutating func merge(at place: Int, into result: Int32, _ merges: Merges) {
    let right = Int(next[place])
    // What the pair becomes decides, not its rank: so does the `tokenizers` library.
    guard tokens[place] >= 0, right >= 0, let rank = merges.rank(tokens[place], tokens[right]),
      merges.rules[Int(rank)].result == result
    else { return }
    tokens[place] = result
    tokens[right] = -1
    next[place] = next[right]
    if next[place] >= 0 {
      previous[Int(next[place])] = Int32(place)
      enqueue(place, merges)
    }
    if previous[place] >= 0 { enqueue(Int(previous[place]), merges) }
  }

  private mutating func enqueue(_ place: Int, _ merges: Merges) {
    guard let rank = merges.rank(tokens[place], tokens[Int(next[place])]) else { return }
    queue.insert(UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(place))
  }
}
