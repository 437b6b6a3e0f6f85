// Tokens that need no row of their own: they stand behind the same tokens as others do.

import Kernels

/// Which tokens of a batch stand for others: a token's row depends on the tokens up to it alone, so
/// prompts that several answers share, and equal beginnings, need no second row.
public struct SharedTokens: Sendable {
  /// Those that have a row of their own, rising: the first of each kind.
  public let tokens: [Int]
  /// For each token of the batch, which of the rows is its own.
  public let rows: [Int32]

  /// `kinds` says for each token which of `kindCount` beginnings it ends (`Beginnings`), −1 for one of its
  /// own. Nil where all differ.
  public init?(kinds: [Int32], kindCount: Int) {
    var first = [Int32](repeating: -1, count: kindCount)
    var tokens: [Int] = []
    tokens.reserveCapacity(kinds.count)
    let rows = kinds.enumerated().map { token, kind in
      if kind >= 0 && first[Int(kind)] >= 0 { return first[Int(kind)] }
      if kind >= 0 { first[Int(kind)] = Int32(tokens.count) }
      tokens.append(token)
      return Int32(tokens.count - 1)
    }
    guard tokens.count < kinds.count else { return nil }
    self.tokens = tokens
    self.rows = rows
  }
}

extension Batch {
  /// Of each shared row, how many of its tokens are not padding.
  var realTokensByRow: [Int]? {
    guard let shared else { return nil }
    var counts = [Int](repeating: 0, count: shared.tokens.count)
    for (token, row) in shared.rows.enumerated() where mask?[token] ?? true {
      counts[Int(row)] += 1
    }
    return counts
  }
}

/// The beginnings of some sequences, numbered: sequences have the same number at a place if they are
/// equal up to it.
public struct Beginnings: Sendable {
  /// By sequence and place.
  public private(set) var numbers: [[Int32]] = []
  public private(set) var count = 0

  public init(_ sequences: some Sequence<[Int32]>) {
    // By the beginning that is one token shorter, and that token.
    var known: [UInt64: Int32] = [:]
    for sequence in sequences {
      var before: Int32 = -1
      numbers.append(
        sequence.map { token in
          let key = UInt64(UInt32(bitPattern: before)) << 32 | UInt64(UInt32(bitPattern: token))
          if let number = known[key] {
            before = number
          } else {
            before = Int32(count)
            known[key] = before
            count += 1
          }
          return before
        })
    }
  }
}

/// Which row of a layer's input each token of a batch has.
struct TokenRows {
  /// Rows over all ranks.
  let count: Int
  /// By token; nil: each token has its own.
  let ofToken: [Int32]?
  /// The tokens that the rows are of, where they are of tokens; nil is all.
  let tokens: [Int]?

  /// Of a list of tokens, in which −1 is none: that has none.
  func of(_ tokens: [Int32]) -> [Int32] {
    guard let ofToken else { return tokens }
    return tokens.map { $0 < 0 ? -1 : ofToken[Int($0)] }
  }
}

extension TokenRows {
  /// One for each token that does not share another's.
  init(_ batch: Batch) {
    count = batch.shared?.tokens.count ?? batch.tokens.count
    ofToken = batch.shared?.rows
    tokens = batch.shared?.tokens
  }

  /// One for each of the vocabulary's tokens that occur, `ids`; nil where few tokens occur twice.
  static func byID(_ batch: Batch, vocabulary: Int) -> (rows: TokenRows, ids: [Int32])? {
    guard batch.tokens.count >= 16 else { return nil }
    guard let kinds = SharedTokens(kinds: batch.tokens, kindCount: vocabulary),
      2 * kinds.tokens.count <= batch.tokens.count
    else { return nil }
    return (
      TokenRows(count: kinds.tokens.count, ofToken: kinds.rows, tokens: nil),
      kinds.tokens.map { batch.tokens[$0] }
    )
  }

  /// The rows that the residual stream goes on with in a layer that gives those of the `wanted` tokens
  /// (nil: all); nil where these are all rows, as they stand.
  func kept(by wanted: [Int]?) -> [Int32]? {
    if wanted == tokens && (tokens != nil || ofToken == nil) { return nil }
    return wanted.map { of($0.map { Int32($0) }) } ?? ofToken
  }
}
