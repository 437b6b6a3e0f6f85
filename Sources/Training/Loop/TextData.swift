// From a corpus to batches: which windows a step takes, and which of them this rank.

import Foundation
import Parallel
import Text
import Transformer

/// A run's text: tokenizer, training windows by step, evaluation windows.
public struct TextData: Sendable {
  public let tokenizer: Tokenizer
  public let training: CorpusPart
  public let evaluation: CorpusPart
  private let sampler: TrainingSampler
  private let windows: EvaluationText
  private let batch: Int
  private let microBatch: Int
  private let length: Int

  /// Opens tokenizer and corpus; the corpus is tokenised by one rank while the others wait. Throws
  /// `RanksFailed` on all ranks.
  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    let data = configuration.data
    (tokenizer, training, evaluation, sampler, windows) = try world.agreeing {
      let tokenizer = try configuration.readTokenizer()
      let corpus = try Corpus(
        data.corpus, tokenizer: tokenizer, otherwise: configuration.run.tokenFolder)
      let part = configuration.evaluation.part.heldOut
      let training = corpus.training(holdingOut: part)
      let evaluation = corpus.evaluation(part)
      return (
        tokenizer, training, evaluation,
        try TrainingSampler(
          training, sequenceLength: data.sequenceLength, seed: UInt64(configuration.run.seed)),
        try EvaluationText(
          evaluation, tokenizer: tokenizer, length: data.sequenceLength,
          limit: configuration.evaluation.windows)
      )
    }
    batch = configuration.training.batch
    microBatch = configuration.training.microBatch
    length = data.sequenceLength
  }

  /// Bits a character for a loss per token, from the training text's tokens and characters.
  public func bitsPerCharacter(_ loss: Double) -> Double {
    loss / log(2) * Double(training.count) / Double(max(training.characters, 1))
  }

  /// Characters that the evaluated windows spell.
  public var evaluatedCharacters: Int { windows.characters }

  /// This rank's share of the samples of a step (from 0), in micro-batches; as many on every rank.
  ///
  /// The list of samples is global and keyed by (seed, step): `data` ranks take consecutive shares of
  /// it, and the ranks that split the model take the same.
  public func microBatches(step: Int, over data: Communicator) -> [MicroBatch] {
    let starts = sampler.samples(step: step, batch: batch)
    return starts[data.ownShare(of: batch)].map { training.window(at: $0, count: length + 1) }
      .microBatches(of: microBatch, length: length, dealing: batch, over: data)
  }

  /// This data rank's share of the evaluation windows; as many batches on every rank.
  public func evaluationBatches(over data: Communicator) -> [MicroBatch] {
    windows.batches(over: data)
  }
}

/// The windows of a part of a corpus in which every character is predicted once.
public struct EvaluationText: Sendable {
  /// Characters that the windows' labels spell: of a whole part as they are in the text, of a few
  /// windows as the tokenizer has them (after normalisation; special tokens spell none).
  public let characters: Int
  private let windows: EvaluationWindows
  private let count: Int
  private let length: Int

  /// The first `limit` windows of a part, 0 for all. Throws where the part has none.
  public init(_ part: CorpusPart, tokenizer: Tokenizer, length: Int, limit: Int) throws {
    self.length = length
    windows = try EvaluationWindows(part, sequenceLength: length)
    count = limit == 0 ? windows.count : min(limit, windows.count)
    // Labels follow each other without a gap; a character counts where its first byte stands.
    characters =
      count == windows.count
      ? part.characters
      : tokenizer.bytes(
        of: part.window(at: 0, count: count * length), skippingSpecialTokens: true
      ).count { $0 & 0xC0 != 0x80 }
  }

  /// For a checkpoint's model: its corpus or another, tokenised by its tokenizer.
  public init(_ loaded: LoadedModel, corpus: String?, part: EvaluationPart) throws {
    guard let tokenizer = try loaded.textTokenizer() else {
      throw FileError(
        loaded.path,
        "has no tokenizer, so no text can be read; accepted: a checkpoint of a run, or one that was "
          + "imported from a folder with tokenizer.json")
    }
    let corpus = try Corpus(
      corpus ?? loaded.configuration.data.corpus, tokenizer: tokenizer,
      otherwise: loaded.configuration.run.tokenFolder)
    try self.init(
      corpus.evaluation(part.heldOut), tokenizer: tokenizer,
      length: loaded.configuration.data.sequenceLength, limit: 0)
  }

  /// This data rank's share, eight windows at a time; the last batches may hold none.
  public func batches(over data: Communicator) -> [MicroBatch] {
    let own = data.ownShare(of: count)
    let largest = (count + data.size - 1) / data.size
    return stride(from: 0, to: largest, by: 8).map { start in
      let part = own.dropFirst(start).prefix(8).map { windows[$0] }
      return MicroBatch(
        Batch(tokens: part.flatMap(\.inputs), sequences: part.count, length: length),
        labels: part.flatMap(\.labels))
    }
  }
}

extension EvaluationPart {
  var heldOut: HeldOut {
    switch self {
    case .heldOut: .lastTenth
    case .validation: .ninthTenth
    }
  }
}
