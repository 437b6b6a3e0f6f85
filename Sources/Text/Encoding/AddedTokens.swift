// Tokens that stand outside the merges, and where their strings occur in a text.

/// A token given by its string, such as `<|endoftext|>`.
public struct AddedToken: Sendable, Equatable {
  public let id: Int32
  public let content: String
  /// Special tokens steer; others are merely words that merging shall not split.
  public let isSpecial: Bool
  /// Whether it is looked for in the normalised text instead of the text as given.
  public let isNormalized: Bool
  /// Whether `tokenizer.json` lists it apart from the vocabulary only.
  var isOutsideVocabulary = false

  public init(id: Int32, content: String, isSpecial: Bool = true, isNormalized: Bool = false) {
    self.id = id
    self.content = content
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
  }
}

/// Finds the leftmost, among those the longest, of some strings.
struct AddedTokenMatcher: Sendable {
  /// By first byte, longest first.
  private var candidates: [[(bytes: [UInt8], id: Int32)]] = Array(repeating: [], count: 256)
  private var isFirstByte = [Bool](repeating: false, count: 256)
  private(set) var longest = 0

  init(_ tokens: [AddedToken], normalizes: Bool = false) {
    for token in tokens {
      var bytes = Array(token.content.utf8)
      if normalizes { bytes = NormalizationFormC.normalized(bytes) }
      candidates[Int(bytes[0])].append((bytes, token.id))
      isFirstByte[Int(bytes[0])] = true
      longest = max(longest, bytes.count)
    }
    for first in candidates.indices { candidates[first].sort { $0.bytes.count > $1.bytes.count } }
  }

  struct Match {
    let range: Range<Int>
    let id: Int32
  }

  /// The first match that starts at `start` or later and before `limit`.
  func first(in bytes: Span<UInt8>, from start: Int, before limit: Int) -> Match? {
    guard longest > 0 else { return nil }
    var index = start
    while index < limit {
      if isFirstByte[Int(bytes[index])] {
        for candidate in candidates[Int(bytes[index])] {
          let end = index + candidate.bytes.count
          guard end <= bytes.count else { continue }
          if candidate.bytes.indices.allSatisfy({ candidate.bytes[$0] == bytes[index + $0] }) {
            return Match(range: index..<end, id: candidate.id)
          }
        }
      }
      index += 1
    }
    return nil
  }
}
