// Sampling continuations with a key-value cache, keyed so that no layout changes them.

import Glibc
import Kernels
import Tensors

/// How the next token is drawn from the model's distribution.
public struct SamplingOptions: Sendable, Equatable {
  /// 0 takes the most probable token.
  public var temperature = 1.0
  /// Only the k most probable tokens; 0 is all.
  public var topK = 0
  /// Only the most probable tokens whose probabilities reach this sum; 1 is all.
  public var topP = 1.0
  /// Tokens that end a sequence (and belong to it).
  public var stopTokens: Set<Int32> = []
  public var maximumNewTokens = 64
  public var seed: UInt64 = 0

  public init() {}
}

/// A prompt's continuation.
public struct Continuation: Sendable, Equatable {
  public var tokens: [Int32] = []
  /// log p of each token under the model itself (temperature 1, nothing cut off).
  public var logProbabilities: [Double] = []
  /// Whether a stop token ended it.
  public var isFinished = false
}

extension LanguageModel {
  /// Continues each prompt. Draw i of prompt n is keyed by (seed, firstSample + n, i), whatever else
  /// is in the batch. `onToken` sees (prompt, token) as they come.
  ///
  /// Prompts of unequal length are padded on the left; every prompt has at least one token. All ranks
  /// call it alike and stop together; those of one tensor group give the same prompts.
  public func generate(
    _ prompts: [[Int32]], _ options: SamplingOptions, firstSample: Int = 0,
    onToken: (Int, Int32) -> Void = { _, _ in }
  ) -> [Continuation] {
    require(prompts.allSatisfy { !$0.isEmpty }, "a prompt without tokens")
    guard let longest = prompts.map(\.count).max(), options.maximumNewTokens > 0 else {
      return prompts.map { _ in Continuation() }
    }
    let tape = Tape(device, recording: false)
    let cache = keyValueCache(
      sequences: prompts.count, capacity: longest + options.maximumNewTokens)
    let padding = prompts.map { longest - $0.count }
    var continuations = prompts.map { _ in Continuation() }
    var inputs = zip(prompts, padding).flatMap { Array(repeating: $0[0], count: $1) + $0 }
    let key = RandomKey(seed: options.seed, name: "generation")
    for position in 0..<options.maximumNewTokens {
      var batch = Batch(tokens: inputs, sequences: prompts.count)
      let seen = cache.lengths[0]
      batch.positions = inputs.indices.map { index in
        Int32(max(0, seen + index % batch.length - padding[index / batch.length]))
      }
      batch.firstKey = inputs.indices.map { Int32(padding[$0 / batch.length]) }
      let logits = lastLogits(batch, on: tape, cache: cache)
      inputs = []
      for prompt in prompts.indices {
        guard !continuations[prompt].isFinished else {
          inputs.append(continuations[prompt].tokens.last!)
          continue
        }
        let draw = uniform(
          key.derived(UInt64(firstSample + prompt)), counter: UInt64(position))
        let row = logits.slices(prompt, count: 1).elements
        let (token, logProbability) = sample(row, options, uniform: draw)
        continuations[prompt].tokens.append(token)
        continuations[prompt].logProbabilities.append(logProbability)
        continuations[prompt].isFinished = options.stopTokens.contains(token)
        inputs.append(token)
        onToken(prompt, token)
      }
      // Ranks whose experts others need go on with them.
      let isFinished = continuations.allSatisfy(\.isFinished)
      if groups.world.maximum(isFinished ? 0 : 1) == 0 { break }
    }
    return continuations
  }

  /// Logits of each sequence's last token [sequences, V].
  private func lastLogits(_ batch: Batch, on tape: Tape, cache: KeyValueCache) -> Tensor {
    let hidden = wholeRows(
      forward(batch, on: tape, cache: cache).hidden.value, tokens: batch.tokens.count)
    let last = (0..<batch.sequences).map { Int32(($0 + 1) * batch.length - 1) }
    let rows = device.tensor([batch.sequences, configuration.width])
    gatherRows(hidden.matrix, last, into: rows.matrix, team: device.team)
    return wholeLogits(linear(tape.constant(rows), outputMatrix.on(tape)).value)
  }
}

/// Draws a token from logits by inverting the cumulative distribution at `uniform`.
func sample(
  _ logits: [Double], _ options: SamplingOptions, uniform: Double
) -> (token: Int32, logProbability: Double) {
  let highest = logits.max()!
  let total = logits.reduce(0) { $0 + exp($1 - highest) }
  func logProbability(_ token: Int) -> Double {
    logits[token] - highest - log(total)
  }
  guard options.temperature > 0 else {
    let best = logits.firstIndex(of: highest)!
    return (Int32(best), logProbability(best))
  }
  // By falling probability, ties to the lower token.
  var order = Array(logits.indices)
  if options.topK > 0 || options.topP < 1 {
    order.sort { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
    if options.topK > 0 { order = Array(order.prefix(options.topK)) }
  }
  var weights = order.map { exp((logits[$0] - highest) / options.temperature) }
  if options.topP < 1 {
    let all = weights.reduce(0, +)
    var reached = 0.0
    let kept = weights.firstIndex { weight in
      reached += weight
      return reached >= options.topP * all
    }
    weights = Array(weights.prefix((kept ?? weights.count - 1) + 1))
  }
  let target = uniform * weights.reduce(0, +)
  var reached = 0.0
  for (index, weight) in weights.enumerated() {
    reached += weight
    if target < reached { return (Int32(order[index]), logProbability(order[index])) }
  }
  let last = order[weights.count - 1]
  return (Int32(last), logProbability(last))
}
