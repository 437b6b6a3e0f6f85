// The tokens of one forward pass.

import Kernels

/// Sequences of equal length, padded where they are shorter.
public struct Batch: Sendable {
  /// Sequence after sequence, `sequences · length` tokens.
  public let tokens: [Int32]
  public let sequences: Int
  public let length: Int
  /// Place of each token in its own sequence, for the rotary embedding.
  public var positions: [Int32]
  /// First key that each token may see, counted from its sequence's start; nil is 0 throughout.
  public var firstKey: [Int32]?
  /// Which tokens are real: padding takes no part in the router's losses and counts. Nil is all.
  public var mask: [Bool]?
  /// Experts of each token in each expert layer, [layers][tokens · k], instead of the routers' own
  /// choice (routing replay); weights and losses are those of the live scores.
  public var expertChoices: [[Int32]]?
  /// The tokens whose outputs are asked for, rising; nil is all. The last layer computes queries, router
  /// and feed-forward for these alone, and what follows (labels, logits) counts them.
  public var asked: [Int]?

  /// Tokens that stand behind the same tokens as others do, at the same positions, which have the same
  /// rows in every layer: all layers but the last compute those once. Nil: each token's are computed.
  /// Experts that are chosen must be the same, too.
  public var shared: SharedTokens? {
    didSet {
      require(
        shared.map { $0.rows.count == tokens.count } ?? true,
        "shared rows of \(shared?.rows.count ?? 0) tokens in a batch of \(tokens.count)")
    }
  }

  /// Tokens whose outputs a forward pass gives, over all ranks.
  public var outputs: Int { asked?.count ?? tokens.count }

  /// `length` is needed only where there may be no sequence at all.
  public init(tokens: [Int32], sequences: Int, length: Int? = nil, mask: [Bool]? = nil) {
    let length = length ?? tokens.count / max(sequences, 1)
    require(
      length > 0 && tokens.count == sequences * length,
      "\(tokens.count) tokens in \(sequences) sequences of \(length)")
    self.tokens = tokens
    self.sequences = sequences
    self.length = length
    self.mask = mask
    positions = (0..<tokens.count).map { Int32($0 % length) }
  }
}
