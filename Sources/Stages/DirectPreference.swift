// Direct preference optimisation: a policy learns pairs, held near to the model that it starts from.

import Parallel
import Tensors
import Text
import Training
import Transformer

/// Learns which of two completions is preferred, without a reward model (Rafailov et al. 2023).
public final class DirectPreference: Stage {
  public static let name = StageName.dpo
  private let configuration: RunConfiguration
  private let data: PreferenceData
  private let loss: PreferenceLoss
  /// What the reference is known by: its checkpoint's fingerprint, or how it is drawn, and the model
  /// that the weights are put into; nil where there is no reference.
  private let start: String?
  /// Of the training pairs and of those to evaluate; nil where there is no reference.
  private var reference: Paired<Double>?
  private var evaluationReference: Paired<Double>?
  /// Of the step under way.
  private var batches: [PairBatch] = []
  private var statistics = PreferenceStatistics()

  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    self.configuration = configuration
    data = try PreferenceData(configuration, over: world)
    loss = configuration.preference.loss
    start = try world.agreeing {
      guard configuration.preference.reference == .start else { return nil }
      let weights =
        try StartCheckpoint(configuration)?.fingerprint ?? "drawn by \(configuration.run.seed)"
      return "\(weights):\n\(configuration.model.canonicalText)"
    }
  }

  public var tokenizer: Tokenizer { data.tokenizer }
  /// The reference is learnt from as well.
  public var fingerprint: String {
    Digest.sha256(Array("\(data.fingerprint) \(start ?? "none")".utf8))
  }
  public var sources: [RunSource] {
    [
      RunSource("examples.training", data.fingerprint),
      RunSource("data.start", Digest.sha256(Array((start ?? "none").utf8))),
    ]
  }
  public var introduction: [String] { data.introduction }

  public func prepare(_ trainer: Trainer) throws {
    if let start {
      let pass = ReferencePass(
        trainer: trainer, start: start, folder: "\(configuration.run.folder)/.reference")
      reference = try pass.logProbabilities(of: data.training, in: data)
      evaluationReference = try data.evaluation.map { try pass.logProbabilities(of: $0, in: data) }
    }
    let model = trainer.model
    trainer.task = { [unowned self] output, _, number in
      let (pairs, evaluation) = evaluate(output, batches[number], model, reference)
      statistics.add(evaluation, policy: pairs.values)
      return evaluation.loss(
        chosen: pairs.chosen, rejected: pairs.rejected, globalPairs: data.batch)
    }
  }

  private func evaluate(
    _ output: LanguageModel.Output, _ batch: PairBatch, _ model: LanguageModel,
    _ reference: Paired<Double>?
  ) -> (OwnPairs, PreferenceEvaluation) {
    let pairs = OwnPairs(
      model.sequenceLogProbabilities(
        output, labels: batch.micro.labels, batch.micro.batch), of: batch, on: model)
    let numbers = pairs.own(batch.numbers)
    return (
      pairs,
      loss.evaluate(
        pairs.values,
        reference: reference.map { all in
          Paired(
            chosen: numbers.map { all.chosen[$0] }, rejected: numbers.map { all.rejected[$0] })
        }, lengths: pairs.own(batch.lengths))
    )
  }

  public func microBatches(step: Int, over ranks: Communicator) -> [MicroBatch] {
    statistics = PreferenceStatistics()
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
    var own = PreferenceStatistics()
    var tokens = 0
    for batch in data.batches(of: file, over: trainer.data) {
      world.goOn()
      let output = trainer.model.forward(
        batch.micro.batch, on: Tape(trainer.device, recording: false))
      let (pairs, evaluation) = evaluate(output, batch, trainer.model, evaluationReference)
      own.add(evaluation, policy: pairs.values)
      tokens += trainer.model.counts(labels: batch.micro.labels, batch.micro.batch).labels
    }
    let all = own.summed(over: world)
    let interval = all.tally.interval
    return HeldOut(
      loss: all.named.first { $0.name == "loss" }!.value, tokens: world.sum(tokens),
      figures: all.named,
      note: "rewards/accuracies \(Figure.fixed(all.tally.accuracy, 3)) "
        + "(\(Figure.fixed(interval.lowerBound, 3)) to \(Figure.fixed(interval.upperBound, 3))) of "
        + "\(all.tally.pairs) pairs, \(all.tally.ties) ties")
  }

  public func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>)? {
    try data.template.samplePrompt(text)
  }
}
