// Which tokens a layer's rows are of, where it comes in and where it goes out.

import Kernels

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

  /// One for each of the vocabulary's tokens that occur, `ids`; nil where few tokens occur twice, or there
  /// are so few that finding it out takes as long as computing them.
  static func byID(_ batch: Batch, vocabulary: Int) -> (rows: TokenRows, ids: [Int32])? {
    let least = 16
    guard batch.tokens.count >= least,
      let kinds = SharedTokens(kinds: batch.tokens, kindCount: vocabulary),
      2 * kinds.tokens.count <= batch.tokens.count
    else { return nil }
    return (
      TokenRows(count: kinds.tokens.count, ofToken: kinds.rows, tokens: nil),
      kinds.tokens.map { batch.tokens[$0] }
    )
  }

  /// Where each row's tokens stand, for the rotary embedding; nil where those of a row stand at several
  /// places.
  func positions(in batch: Batch) -> [Int32]? {
    if ofToken == nil { return batch.positions }
    return tokens.map { $0.map { batch.positions[$0] } }
  }

  /// The rows that the residual stream goes on with in a layer that gives those of the `wanted` tokens
  /// (nil: all); nil where these are all rows, as they stand.
  func kept(by wanted: [Int]?) -> [Int32]? {
    if wanted == tokens && (tokens != nil || ofToken == nil) { return nil }
    return wanted.map { of($0.map { Int32($0) }) } ?? ofToken
  }
}

/// The tokens whose rows a layer gives.
struct WantedTokens {
  let tokens: [Int]
  /// Which tokens share their rows; nil: none.
  let shared: SharedTokens?
}

extension Batch {
  /// What a layer gives; nil is a row for each token.
  func wanted(ofLastLayer isLast: Bool) -> WantedTokens? {
    if let shared, !isLast { return WantedTokens(tokens: shared.tokens, shared: shared) }
    guard isLast else { return nil }
    let tokens = asked ?? (shared == nil ? nil : Array(self.tokens.indices))
    return tokens.map { WantedTokens(tokens: $0, shared: nil) }
  }
}
