// Supervised fine-tuning: the answers of instructions, and the token that ends them.

import Parallel
import Text
import Training
import Transformer

/// Learns the answers' tokens: each counts alike, whatever its example, micro-batch and rank.
///
/// Left out: text without answers, which is pretraining from a checkpoint.
public final class SupervisedFineTuning: Stage {
  public static let name = StageName.sft
  private let configuration: RunConfiguration
  private let data: InstructionData

  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    self.configuration = configuration
    data = try InstructionData(configuration, over: world)
  }

  public var tokenizer: Tokenizer { data.tokenizer }
  public var fingerprint: String { data.fingerprint }
  public var sources: [RunSource] { [RunSource("examples.training", data.fingerprint)] }
  public var introduction: [String] { data.introduction }

  public func microBatches(step: Int, over ranks: Communicator) -> [MicroBatch] {
    data.microBatches(step: step, over: ranks)
  }

  public func tokensOfStep(dataRanks: Int) -> Int? {
    configuration.largestShareOfTokens(dataRanks: dataRanks)
  }

  public func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)] {
    [("supervised_tokens", Double(result.counts.labels))]
  }

  public func evaluate(_ trainer: Trainer) -> HeldOut? {
    let batches = data.evaluationBatches(over: trainer.data)
    guard !batches.isEmpty else { return nil }
    let sum = trainer.model.evaluate(batches, over: trainer.mesh.world)
    return HeldOut(loss: sum.lossPerToken, tokens: sum.tokens)
  }

  public func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>)? {
    try data.template.samplePrompt(text)
  }
}
