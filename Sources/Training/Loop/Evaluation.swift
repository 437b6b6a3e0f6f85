// Loss on text that is not trained on.

import Kernels
import Parallel
import Tensors
import Transformer

/// Sum of negative log-probabilities over some tokens.
public struct EvaluationSum: Sendable {
  /// Nats.
  public var loss = 0.0
  public var tokens = 0

  public var lossPerToken: Double { tokens > 0 ? loss / Double(tokens) : 0 }

  /// Bits for each of `characters`, which the tokens spell.
  public func bitsPerCharacter(_ characters: Int) -> Double? {
    characters > 0 ? loss / 0.693_147_180_559_945_3 / Double(characters) : nil
  }
}

extension LanguageModel {
  /// The loss over micro-batches whose samples are dealt over data ranks: each gives its own, equally
  /// many; every rank gets the sum.
  public func evaluate(_ microBatches: [MicroBatch], over world: Communicator) -> EvaluationSum {
    let team = device.team
    var sum = EvaluationSum()
    for micro in microBatches {
      world.goOn()
      let tape = Tape(device, recording: false)
      let hidden = forward(micro.batch, on: tape).hidden
      let logProbabilities = logProbabilities(hidden, labels: micro.labels)
      sum.loss -= Kernels.sum(logProbabilities.value.matrix, team: team)
      sum.tokens += counts(labels: micro.labels, micro.batch).labels
    }
    let sums = world.sum([sum.loss, Double(sum.tokens)])
    return EvaluationSum(loss: sums[0], tokens: Int(sums[1]))
  }
}
