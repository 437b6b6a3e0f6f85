// From a file of prompts to those of each iteration, keyed by seed and step.

import Parallel
import Text

/// A run's prompts: tokenizer, prompts of each step, prompts to evaluate.
public struct PromptData: Sendable {
  public let tokenizer: Tokenizer
  public let template: ChatTemplate
  public let training: EncodedFile<[Int32]>
  public let evaluation: EncodedFile<[Int32]>?
  private let order: ShuffledEpochs

  /// Reads and encodes the files; every prompt leaves room for an answer within
  /// `data.sequenceLength`. Throws `RanksFailed` on all ranks.
  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    let longest = configuration.data.sequenceLength - configuration.rollout.answerTokens
    (tokenizer, template, training, evaluation) = try world.agreeing {
      let tokenizer = try configuration.readTokenizer()
      let template = try configuration.template(tokenizer)
      let settings = configuration.examples
      func encoded(_ path: String) throws -> EncodedFile<[Int32]> {
        try EncodedFile(
          ExampleFile(prompts: path, badLines: settings.badLines), badLines: settings.badLines
        ) { prompt, place in
          let tokens: [Int32]
          do { tokens = try template.encodePrompt(prompt) } catch let error as TextError {
            throw TextError(place, "\(error)")
          }
          guard (1...longest).contains(tokens.count) else {
            throw TextError(
              place,
              "the prompt has \(tokens.count) tokens; accepted: 1 to \(longest), "
                + "data.sequenceLength less rollout.answerTokens")
          }
          return tokens
        }
      }
      return (
        tokenizer, template, try encoded(settings.training),
        try settings.evaluation.isEmpty ? nil : encoded(settings.evaluation)
      )
    }
    order = ShuffledEpochs(
      count: training.elements.count, seed: UInt64(configuration.run.seed))
  }

  /// Of every token.
  public var fingerprint: String {
    let digest = Digest()
    for prompt in training.elements {
      prompt.withUnsafeBytes { digest.update($0) }
      digest.update([255])
    }
    return digest.finish()
  }

  /// The prompts of a step (from 0), the same list on every rank.
  public func prompts(step: Int, count: Int) -> [[Int32]] {
    order.samples(step: step, batch: count).map { training.elements[$0] }
  }

  /// What is read, in lines for the user.
  public var introduction: [String] {
    [training.introduction("training", "prompts")]
      + (evaluation.map { [$0.introduction("evaluation", "prompts")] } ?? [])
  }
}
