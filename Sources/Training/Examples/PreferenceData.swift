// From a file of preferences to batches of pairs, keyed by seed and step, dealt over data ranks.

import Parallel
import Text
import Transformer

/// Two completions of one prompt as tokens, each ending with its stop token.
public struct EncodedPair: Sendable {
  public let chosen: EncodedExample
  public let rejected: EncodedExample
  public let margin: Double?
}

/// Pairs of one forward pass: the chosen completions' rows, then the rejected ones'.
public struct PairBatch: Sendable {
  public let micro: MicroBatch
  /// Numbers of the pairs in their file.
  public let numbers: [Int]
  public let margins: [Double]
  /// Which of the batch's tokens is the last of each row, which ends its answer.
  public let lastTokens: [Int]
  /// Tokens of the answers.
  public let lengths: Paired<Int>

  public var pairs: Int { numbers.count }

  /// Rows as long as the longest, padded on the right.
  public init(_ pairs: [EncodedPair], numbers: [Int], padding: Int32) {
    self.numbers = numbers
    margins = pairs.map { $0.margin ?? 0 }
    let rows = pairs.map(\.chosen) + pairs.map(\.rejected)
    let length = rows.map(\.tokens.count).max() ?? 1
    lastTokens = rows.enumerated().map { $0 * length + $1.tokens.count - 1 }
    micro = rows.map { ExampleRow([$0]) }.microBatch(length: length, padding: padding)
    func learned(_ examples: [EncodedExample]) -> [Int] {
      examples.map { $0.labels.reduce(0) { $0 + ($1 == -100 ? 0 : 1) } }
    }
    lengths = Paired(
      chosen: learned(pairs.map(\.chosen)), rejected: learned(pairs.map(\.rejected)))
  }
}

/// A run's preferences: tokenizer, pairs of each step, pairs to evaluate.
public struct PreferenceData: Sendable {
  public let tokenizer: Tokenizer
  public let template: ChatTemplate
  public let training: EncodedFile<EncodedPair>
  public let evaluation: EncodedFile<EncodedPair>?
  private let order: ShuffledEpochs
  /// Pairs of one optimiser step, over all ranks.
  public let batch: Int
  private let microBatch: Int

  /// Reads and encodes the files. Throws `RanksFailed` on all ranks.
  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    let length = configuration.data.sequenceLength
    (tokenizer, template, training, evaluation) = try world.agreeing {
      let tokenizer = try configuration.readTokenizer()
      let template = try configuration.template(tokenizer)
      let settings = configuration.examples
      func encoded(_ path: String) throws -> EncodedFile<EncodedPair> {
        try EncodedFile(
          ExampleFile(preferences: path, badLines: settings.badLines), badLines: settings.badLines
        ) { example, place in
          let pair: (chosen: EncodedExample, rejected: EncodedExample)
          do { pair = try template.encode(example) } catch let error as TextError {
            throw TextError(place, "\(error)")
          }
          return EncodedPair(
            chosen: try pair.chosen.checked("\(place), chosen", length: length),
            rejected: try pair.rejected.checked("\(place), rejected", length: length),
            margin: example.margin)
        }
      }
      return (
        tokenizer, template, try encoded(settings.training),
        try settings.evaluation.isEmpty ? nil : encoded(settings.evaluation)
      )
    }
    batch = configuration.training.batch
    microBatch = configuration.training.microBatch
    order = ShuffledEpochs(
      count: training.elements.count, seed: UInt64(configuration.run.seed))
  }

  /// Of every token, what of them is learned, and the margins.
  public var fingerprint: String { Self.fingerprint(training.elements) }

  /// The same of some pairs.
  public static func fingerprint(_ pairs: [EncodedPair]) -> String {
    let digest = Digest()
    for pair in pairs {
      pair.chosen.add(to: digest)
      pair.rejected.add(to: digest)
      digest.update(Array("\(pair.margin ?? 0);".utf8))
    }
    return digest.finish()
  }

  /// This rank's share of the pairs of a step (from 0); as many batches on every rank.
  public func batches(step: Int, over data: Communicator) -> [PairBatch] {
    let all = order.samples(step: step, batch: batch)
    return Array(all[data.ownShare(of: batch)])
      .parts(of: microBatch, dealing: batch, over: data).map { pairs($0, of: training) }
  }

  /// This data rank's share of a file's pairs, eight at a time, in their order.
  public func batches(
    of file: EncodedFile<EncodedPair>, over data: Communicator
  ) -> [PairBatch] {
    let count = file.elements.count
    return Array(data.ownShare(of: count)).parts(of: 8, dealing: count, over: data)
      .map { pairs($0, of: file) }
  }

  private func pairs(_ numbers: ArraySlice<Int>, of file: EncodedFile<EncodedPair>) -> PairBatch {
    PairBatch(
      numbers.map { file.elements[$0] }, numbers: Array(numbers), padding: template.padding)
  }

  /// What is read, in lines for the user.
  public var introduction: [String] {
    [training.introduction("training", "pairs")]
      + (evaluation.map { [$0.introduction("evaluation", "pairs")] } ?? [])
  }
}
