// Remembers what words became, since text repeats its words.

/// A hash table from a word's bytes to its tokens; it starts over when full.
struct WordCache: Sendable {
  private struct Entry: Sendable {
    var hash: UInt64 = 0
    var keyStart: UInt32 = 0
    var tokenStart: UInt32 = 0
    /// Words have at least one byte: 0 marks a free entry.
    var keyCount: UInt16 = 0
    var tokenCount: UInt16 = 0
  }

  /// Longer words are rare and not kept.
  static let longestWord = 64
  /// Words after which it starts over: some 15 MB.
  private static let capacity = 1 << 18

  private var entries = [Entry](repeating: Entry(), count: 1 << 12)
  private var keys: [UInt8] = []
  private var tokens: [Int32] = []
  private var count = 0

  /// Appends the tokens of `word` if they are known.
  @inline(__always)
  func append(_ word: Span<UInt8>, hash: UInt64, to output: inout [Int32]) -> Bool {
    let mask = entries.count - 1
    var place = Int(truncatingIfNeeded: hash) & mask
    while true {
      let entry = entries[place]
      if entry.keyCount == 0 { return false }
      if entry.hash == hash && matches(entry, word) {
        let start = Int(entry.tokenStart)
        for index in start..<start + Int(entry.tokenCount) { output.append(tokens[index]) }
        return true
      }
      place = (place + 1) & mask
    }
  }

  /// Adds what is not yet there.
  mutating func insert(_ word: Span<UInt8>, hash: UInt64, tokens new: ArraySlice<Int32>) {
    guard word.count <= Self.longestWord else { return }
    if count == Self.capacity { self = WordCache() }
    if (count + 1) * 2 > entries.count { grow() }
    let entry = Entry(
      hash: hash, keyStart: UInt32(keys.count), tokenStart: UInt32(tokens.count),
      keyCount: UInt16(word.count), tokenCount: UInt16(new.count))
    for index in word.indices { keys.append(word[index]) }
    tokens += new
    count += 1
    place(entry)
  }

  @inline(__always)
  static func hash(_ word: Span<UInt8>) -> UInt64 {
    var hash = UInt64(word.count)
    var index = 0
    let bytes = word.bytes
    while index + 8 <= word.count {
      hash = mixed(hash ^ bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
      index += 8
    }
    var rest: UInt64 = 0
    while index < word.count {
      rest = rest << 8 | UInt64(word[index])
      index += 1
    }
    return mixed(hash &* 0x9e37_79b9_7f4a_7c15 ^ rest)
  }

  @inline(__always)
  private func matches(_ entry: Entry, _ word: Span<UInt8>) -> Bool {
    guard Int(entry.keyCount) == word.count else { return false }
    let start = Int(entry.keyStart)
    for index in 0..<word.count where keys[start + index] != word[index] { return false }
    return true
  }

  private mutating func place(_ entry: Entry) {
    let mask = entries.count - 1
    var place = Int(truncatingIfNeeded: entry.hash) & mask
    while entries[place].keyCount != 0 { place = (place + 1) & mask }
    entries[place] = entry
  }

  private mutating func grow() {
    let old = entries
    entries = Array(repeating: Entry(), count: old.count * 2)
    for entry in old where entry.keyCount != 0 { place(entry) }
  }
}
