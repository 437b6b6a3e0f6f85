// What a model computed while it wrote a continuation, for those who would compute it again.

import Kernels
import Parallel
import Tensors

/// Which tokens a trace tells the experts of.
public enum TracedTokens: Sendable, Equatable {
  /// No trace is kept.
  case none
  /// Those that the last layer computes: of a prompt its last token alone there.
  case asked
  /// All, in all layers.
  case every
}

/// What was computed of a prompt and its continuation but for the last token, which nothing read.
public struct ContinuationTrace: Sendable, Equatable {
  /// By expert layer the experts of each token [tokens · k], −1 where the layer did not choose any.
  public var experts: [[Int32]] = []
  /// Rows after the final norm, from which the continuation's tokens were drawn: [continuation, H], in the
  /// model's precision.
  public var hidden: [UInt8] = []

  mutating func append(_ chosen: ArraySlice<Int>, layer: Int) {
    while experts.count <= layer { experts.append([]) }
    for expert in chosen { experts[layer].append(Int32(expert)) }
  }
}

extension LanguageModel {
  /// Experts of all tokens of a batch by layer, [tokens · k], on every rank of the tensor group; −1 where a
  /// layer did not choose any.
  func chosenExperts(_ output: Output, _ batch: Batch) -> [ArraySlice<Int>] {
    let k = configuration.router.expertsPerToken
    var all: [Int] = []
    all.reserveCapacity(output.routings.count * batch.tokens.count * k)
    for routing in output.routings {
      for row in routing.rows(batch) {
        for place in 0..<k { all.append(row < 0 ? -1 : Int(routing.experts[row * k + place])) }
      }
    }
    // Each rank has its part of the tokens.
    let whole = groups.tensor.maximum(all)
    let size = batch.tokens.count * k
    return output.routings.indices.map { whole[$0 * size..<($0 + 1) * size] }
  }
}
