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

  /// Whether experts of all tokens, [layers][tokens · k], are the same where rows are shared.
  public func agree(_ choices: [[Int32]], perToken k: Int) -> Bool {
    choices.allSatisfy { layer in
      rows.enumerated().allSatisfy { token, row in
        let (own, first) = (token * k, tokens[Int(row)] * k)
        return own == first || layer[own..<own + k] == layer[first..<first + k]
      }
    }
  }
}
