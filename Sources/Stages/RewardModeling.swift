// The reward model: a scalar head on the token that ends an answer, learnt from pairs.

import Parallel
import Tensors
import Text
import Training
import Transformer

/// Learns rewards whose difference is the log-odds of a preference (Bradley-Terry).
///
/// The reward is read at the stop token, in training as wherever else an answer is scored.
public final class RewardModeling: Stage {
  public static let name = StageName.reward
  private let data: PreferenceData
  private let loss: RewardLoss
  /// Of the step under way.
  private var batches: [PairBatch] = []
  private var statistics = RewardStatistics()

  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    data = try PreferenceData(configuration, over: world)
    loss = configuration.reward.loss
  }

  public var tokenizer: Tokenizer { data.tokenizer }
  public var fingerprint: String { data.fingerprint }
  public var sources: [RunSource] { [RunSource("examples.training", data.fingerprint)] }
  public var introduction: [String] { data.introduction }

  public func prepare(_ trainer: Trainer) {
    let model = trainer.model
    trainer.task = { [unowned self] output, _, number in
      let batch = batches[number]
      let pairs = rewards(output, batch, model)
      let margins = pairs.own(batch.margins)
      add(pairs, margins, to: &statistics)
      return loss.loss(
        chosen: pairs.chosen, rejected: pairs.rejected, margins: margins, globalPairs: data.batch)
    }
  }

  private func rewards(
    _ output: LanguageModel.Output, _ batch: PairBatch, _ model: LanguageModel
  ) -> OwnPairs {
    OwnPairs(
      model.scores(output, ofTokens: batch.lastTokens), of: batch,
      on: model)
  }

  private func add(
    _ pairs: OwnPairs, _ margins: [Double], to statistics: inout RewardStatistics
  ) {
    let values = pairs.values
    statistics.add(
      values, loss: loss.evaluate(values, margins: margins, globalPairs: 1).value)
  }

  public func microBatches(step: Int, over ranks: Communicator) -> [MicroBatch] {
    statistics = RewardStatistics()
    batches = data.batches(step: step, over: ranks)
    return batches.map(\.micro)
  }

  public func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)] {
    statistics.summed(over: world).named
  }

  public func evaluate(_ trainer: Trainer) -> HeldOut? {
    guard let file = data.evaluation else { return nil }
    let world = trainer.mesh.world
    var own = RewardStatistics()
    var tokens = 0
    for batch in data.batches(of: file, over: trainer.data) {
      world.goOn()
      let output = trainer.model.forward(
        batch.micro.batch, on: Tape(trainer.device, recording: false))
      let pairs = rewards(output, batch, trainer.model)
      add(pairs, pairs.own(batch.margins), to: &own)
      tokens += trainer.model.counts(labels: batch.micro.labels, batch.micro.batch).tokens
    }
    let all = own.summed(over: world)
    let interval = all.tally.interval
    return HeldOut(
      loss: all.meanLoss, tokens: world.sum(tokens), figures: all.named + all.details,
      note: "accuracy \(Figure.fixed(all.tally.accuracy, 3)) "
        + "(\(Figure.fixed(interval.lowerBound, 3)) to \(Figure.fixed(interval.upperBound, 3))) of "
        + "\(all.tally.pairs) pairs, \(all.tally.ties) ties; calibration error "
        + Figure.fixed(all.calibration.error, 3))
  }

  /// A reward model says nothing.
  public func samplePrompt(_ text: String) -> (tokens: [Int32], stop: Set<Int32>)? { nil }
}
