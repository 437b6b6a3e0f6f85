// Sampling continuations with a key-value cache, keyed so that no layout changes them.

import Kernels
import Parallel
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
  /// Of the random numbers of this seed: other purposes draw others.
  public var stream = "generation"
  /// What continuations tell of the way to them.
  public var traced = TracedTokens.none

  public init() {}
}

extension LanguageModel {
  /// Continues each of this rank's prompts. Draw i of a prompt is keyed by (seed, stream, its sample's
  /// number, i), whatever else is in the batch; without `samples` prompt n is sample n. `onToken` sees
  /// (prompt, token) as they come.
  ///
  /// Prompts of unequal length are padded on the left; every prompt has at least one token. All ranks
  /// call it, with the same options, and stop together: a rank without prompts, or done with its own,
  /// still computes for those whose tokens its experts get. Ranks of one tensor group give the same
  /// prompts.
  public func generate(
    _ prompts: [[Int32]], _ options: SamplingOptions, samples: [Int]? = nil,
    onToken: (Int, Int32) -> Void = { _, _ in }
  ) -> [Continuation] {
    require(prompts.allSatisfy { !$0.isEmpty }, "a prompt without tokens")
    let samples = samples ?? Array(prompts.indices)
    require(
      samples.count == prompts.count, "\(samples.count) sample numbers, \(prompts.count) prompts")
    var continuations = prompts.map { _ in Continuation() }
    let tape = Tape(device, recording: false)
    let key = RandomKey(seed: options.seed, name: options.stream)
    let keys = samples.map { key.derived(UInt64($0)) }
    var decoding = Decoding(
      prompts, newTokens: options.maximumNewTokens, model: self,
      passesEveryToken: options.traced == .every)
    let turned = weightsToTurn(sequences: prompts.count, newTokens: options.maximumNewTokens)
    parameters.withTurned(turned, on: device) {
      for position in 0..<options.maximumNewTokens {
        let output = forward(decoding.batch, on: tape, cache: decoding.cache)
        let rows = lastRows(output, decoding.batch)
        let logits = wholeLogits(linear(tape.constant(rows), outputMatrix.on(tape)).value)
        if options.traced != .none { decoding.trace(output, rows, into: &continuations) }
        let draws = decoding.prompts.map { uniform(keys[$0], counter: UInt64(position)) }
        let (tokens, logProbabilities) = drawn(from: logits, at: draws, options)
        for (row, prompt) in decoding.prompts.enumerated()
        where !continuations[prompt].isFinished {
          continuations[prompt].tokens.append(tokens[row])
          continuations[prompt].logProbabilities.append(logProbabilities[row])
          continuations[prompt].isFinished = options.stopTokens.contains(tokens[row])
          onToken(prompt, tokens[row])
        }
        let isFinished = continuations.allSatisfy(\.isFinished)
        if groups.world.maximum(isFinished ? 0 : 1) == 0 { break }
        decoding.advance(with: tokens) { !continuations[$0].isFinished }
      }
    }
    return continuations
  }

  /// Runs `body`, which calls `generate` again and again and changes no weights meanwhile: what each call
  /// would lay out for itself is laid out once, as a second copy of the weights. `sharing` is the number
  /// of prompts that the data ranks share at a time, `newTokens` that of each prompt's tokens in all
  /// calls together.
  public func readyToGenerate<Result>(
    sharing prompts: Int, newTokens: Int, _ body: () throws -> Result
  ) rethrows -> Result {
    let sequences = groups.data.ownShare(of: prompts).count
    return try parameters.withTurned(
      weightsToTurn(sequences: sequences, newTokens: newTokens), on: device, body)
  }

  /// What is worth turning for so many steps, of which each reads its sequences' experts: turning costs
  /// as much as three readings of all weights.
  private func weightsToTurn(sequences: Int, newTokens: Int) -> [Parameter] {
    let router = configuration.router
    let share = Double(sequences * router.expertsPerToken) / Double(max(router.experts, 1))
    guard productsReadTurnedWeights && Double(newTokens) * min(1, share) >= 4 else { return [] }
    return parameters.parameters.filter {
      $0.isMatrix && ($0 !== embeddingTable || configuration.tiedEmbedding)
    }
  }

  /// Continues prompts that all ranks give alike: each data rank its share, and every rank gets all.
  public func generate(
    sharing prompts: [[Int32]], _ options: SamplingOptions, samples: [Int]? = nil
  ) -> [Continuation] {
    let samples = samples ?? Array(prompts.indices)
    require(
      samples.count == prompts.count, "\(samples.count) sample numbers, \(prompts.count) prompts")
    let starts = Array(stride(from: 0, to: max(prompts.count, 1), by: Self.promptsAtOnce))
    return readyToGenerate(
      sharing: min(prompts.count, Self.promptsAtOnce),
      newTokens: starts.count * options.maximumNewTokens
    ) {
      starts.flatMap { start in
        groups.world.goOn()
        let part = start..<min(start + Self.promptsAtOnce, prompts.count)
        return generate(part: Array(prompts[part]), options, samples: Array(samples[part]))
      }
    }
  }

  /// Prompts that the data ranks share at a time: memory, and nothing else, hangs on it.
  private static let promptsAtOnce = 1024

  private func generate(
    part prompts: [[Int32]], _ options: SamplingOptions, samples: [Int]
  ) -> [Continuation] {
    let own = groups.data.ownShare(of: prompts.count)
    let continuations = generate(
      Array(prompts[own]), options, samples: Array(samples[own]))
    return groups.data.gather(continuations.bytes).flatMap([Continuation].init(bytes:))
  }

  /// A token of each row, and its log-probability as training computes it.
  private func drawn(
    from logits: Tensor, at draws: [Double], _ options: SamplingOptions
  ) -> (tokens: [Int32], logProbabilities: [Double]) {
    var tokens = [Int32](repeating: 0, count: logits.rows)
    drawTokens(
      logits.matrix, at: draws,
      DrawRule(temperature: options.temperature, topK: options.topK, topP: options.topP),
      into: &tokens, team: device.team)
    let column = device.tensor([logits.rows, 1])
    tokenLogProbabilities(
      logits.matrix, labels: tokens, into: column.matrix,
      logSumExp: device.tensor([logits.rows, 1]).matrix, team: device.team)
    return (tokens, column.elements)
  }

  /// Each sequence's last token's row after the final norm [sequences, H].
  private func lastRows(_ output: Output, _ batch: Batch) -> Tensor {
    let rows = wholeRows(output.hidden.value, tokens: batch.outputs)
    guard rows.rows > batch.sequences else { return rows }
    let last = device.tensor([batch.sequences, rows.columns])
    gatherRows(
      rows.matrix, (0..<batch.sequences).map { Int32(($0 + 1) * batch.length - 1) },
      into: last.matrix, team: device.team)
    return last
  }
}

/// What the next forward pass reads: all prompts at first, then one token of each sequence.
private struct Decoding {
  private let model: LanguageModel
  /// Of each row of the batch, its prompt's number.
  private(set) var prompts: [Int]
  private var padding: [Int]
  /// Tokens of each sequence in the cache, padding included.
  private var seen = 0
  private(set) var batch: Batch
  private(set) var cache: KeyValueCache

  init(_ prompts: [[Int32]], newTokens: Int, model: LanguageModel, passesEveryToken: Bool) {
    self.model = model
    self.prompts = Array(prompts.indices)
    let longest = prompts.map(\.count).max() ?? 1
    padding = prompts.map { longest - $0.count }
    cache = model.keyValueCache(sequences: prompts.count, capacity: longest + newTokens)
    batch = Batch(
      tokens: zip(prompts, padding).flatMap { Array(repeating: $0[0], count: $1) + $0 },
      sequences: prompts.count, length: longest)
    if longest > 1 && !passesEveryToken {
      batch.asked = prompts.indices.map { ($0 + 1) * longest - 1 }
    }
    // What stands before prompts is seen by none, and one kind.
    let beginnings = Beginnings(prompts)
    batch.shared = SharedTokens(
      kinds: zip(beginnings.numbers, padding).flatMap {
        Array(repeating: Int32(beginnings.count), count: $1) + $0
      }, kindCount: beginnings.count + 1)
    place()
  }

  /// Adds to the traces of those that go on what this pass computed, and `rows`, from which a token of each
  /// is drawn.
  func trace(
    _ output: LanguageModel.Output, _ rows: Tensor, into continuations: inout [Continuation]
  ) {
    let k = model.configuration.router.expertsPerToken
    let bytes = rows.columns * rows.precision.bytes
    let experts = model.chosenExperts(output, batch)
    for (row, prompt) in prompts.enumerated() where !continuations[prompt].isFinished {
      // Padding stands in front of prompts alone.
      let tokens = row * batch.length + (seen == 0 ? padding[row] : 0)..<(row + 1) * batch.length
      for (layer, chosen) in experts.enumerated() {
        let start = chosen.startIndex
        continuations[prompt].trace.append(
          chosen[start + tokens.lowerBound * k..<start + tokens.upperBound * k], layer: layer)
      }
      continuations[prompt].trace.hidden += UnsafeRawBufferPointer(
        start: rows.base + row * bytes, count: bytes)
    }
  }

  /// Keys and values of those that go on are moved when one in so many has ended, not for every one.
  private static let endedPart = 8

  /// Goes on with a token of each sequence, and leaves out those whose prompts need no more.
  mutating func advance(with tokens: [Int32], where isNeeded: (_ prompt: Int) -> Bool) {
    seen += batch.length
    var tokens = tokens
    let rows = prompts.indices.filter { isNeeded(prompts[$0]) }
    if rows.isEmpty {
      // Other ranks go on.
      cache = model.keyValueCache(sequences: 0, capacity: 1)
      (prompts, padding, tokens) = ([], [], [])
    } else if Self.endedPart * (prompts.count - rows.count) >= prompts.count {
      cache.keep(rows)
      prompts = rows.map { prompts[$0] }
      padding = rows.map { padding[$0] }
      tokens = rows.map { tokens[$0] }
    }
    batch = Batch(tokens: tokens, sequences: tokens.count, length: 1)
    place()
  }

  /// Positions count from each prompt's first token, and no query sees what stands before it.
  private mutating func place() {
    let length = batch.length
    batch.positions = batch.tokens.indices.map { index in
      Int32(max(0, seen + index % length - padding[index / length]))
    }
    guard padding.contains(where: { $0 > 0 }) else { return }
    batch.firstKey = batch.tokens.indices.map { Int32(padding[$0 / length]) }
  }
}
