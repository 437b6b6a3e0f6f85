// Pretraining: next-token prediction on a corpus; from a checkpoint, its continuation on another text.

import Parallel
import Text
import Training
import Transformer

/// Learns every token of a corpus.
public final class Pretraining: Stage {
  public static let name = StageName.pretrain
  private let configuration: RunConfiguration
  private let text: TextData

  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    self.configuration = configuration
    text = try TextData(configuration, over: world)
  }

  public var tokenizer: Tokenizer { text.tokenizer }
  public var fingerprint: String { text.training.fingerprint }
  public var sources: [RunSource] {
    [
      RunSource("data.corpus", text.training.corpusFingerprint),
      // What is not evaluated is trained on.
      RunSource("evaluation.part", configuration.evaluation.part.rawValue),
    ]
  }

  public var introduction: [String] {
    var lines = [
      "corpus: \(Figure.count(Double(text.training.count))) tokens to train, "
        + "\(Figure.count(Double(text.evaluation.count))) to evaluate"
    ]
    if text.training.tokenFile.hasPrefix("\(configuration.run.tokenFolder)/") {
      lines.append(
        "tokens: kept in \(configuration.run.tokenFolder), since the corpus' folder cannot be "
          + "written")
    }
    return lines
  }

  public func microBatches(step: Int, over data: Communicator) -> [MicroBatch] {
    text.microBatches(step: step, over: data)
  }

  public func tokensOfStep(dataRanks: Int) -> Int? {
    configuration.largestShareOfTokens(dataRanks: dataRanks)
  }

  public func bitsPerCharacter(_ loss: Double) -> Double? { text.bitsPerCharacter(loss) }

  public func evaluate(_ trainer: Trainer) -> HeldOut? {
    let sum = trainer.model.evaluate(
      text.evaluationBatches(over: trainer.data), over: trainer.mesh.world)
    return HeldOut(
      loss: sum.lossPerToken, tokens: sum.tokens,
      bitsPerCharacter: sum.bitsPerCharacter(text.evaluatedCharacters))
  }

  public func samplePrompt(_ prompt: String) -> (tokens: [Int32], stop: Set<Int32>)? {
    (tokenizer.encode(prompt), [])
  }
}
