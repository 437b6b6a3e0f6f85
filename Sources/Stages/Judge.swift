// Who says what answers are worth: a reward model, or a rule that the command hands over.

import Parallel
import Tensors
import Text
import Training
import Transformer

/// Scores of answers, before any rule for missing ends.
struct Judge {
  enum Source {
    case model(LanguageModel)
    case rule(AnswerReward)
  }
  let source: Source
  let trainer: Trainer
  /// What is taken from a score, and what it is then divided by.
  var shift = 0.0
  var scale = 1.0

  /// A score for each row, whole on every rank; a rank computes its share. Throws `RanksFailed` where
  /// one is no finite number.
  func scores(_ rows: AnswerRows, microBatch: Int) throws -> [Double] {
    let world = trainer.mesh.world
    let scores: [Double]
    switch source {
    case .rule(let reward):
      var own = SharedTable(columns: 1, count: rows.count)
      for row in world.ownShare(of: rows.count) {
        own.set(0, [reward(rows.prompts[row], rows.answers[row])], at: [row])
      }
      scores = own.summed(over: world)[0]
    case .model(let model):
      scores = rows.scores(by: model, microBatch: microBatch, mesh: trainer.mesh)
    }
    try rows.requireFinite(scores, over: world)
    return scores.map { ($0 - shift) / scale }
  }

  /// The same with scores of mean 0 and deviation 1 on these answers.
  func scaled(to rows: AnswerRows, microBatch: Int) throws -> Judge {
    let scores = try scores(rows, microBatch: microBatch)
    let moments = Moments(of: scores, mask: scores.map { _ in true }, over: .alone())
    let deviation = moments.unbiasedVariance.squareRoot()
    try trainer.mesh.world.agreeing {
      guard deviation <= 1e-6 * max(abs(moments.mean), 1e-3) else { return }
      throw SettingRangeError(
        field: "rollout.scoreScale",
        value: "start, and the reward model scores all \(scores.count) first answers "
          + "\(Figure.fixed(moments.mean, 4))",
        accepted: "a reward model that tells answers apart, or rollout.scoreScale none")
    }
    var result = self
    result.shift = moments.mean
    result.scale = deviation
    return result
  }
}

extension AnswerRows {
  /// A reward model's number for each answer, at its last token, whole on every rank.
  func scores(by model: LanguageModel, microBatch: Int, mesh: ProcessMesh) -> [Double] {
    let data = mesh.communicator(.data)
    var own = SharedTable(columns: 1, count: count)
    for batch in scoredBatches(of: Array(0..<count), microBatch: microBatch, over: data) {
      mesh.world.goOn()
      let output = model.forward(batch.micro.batch, on: Tape(model.device, recording: false))
      let scores = model.scores(output, ofTokens: Array(batch.rows.indices)).value.elements
      let items = model.ownItems(of: batch.rows.count)
      own.set(0, items.map { scores[$0] }, at: items.map { batch.rows[$0] })
    }
    return own.summed(over: mesh.world)[0]
  }

  /// Throws `RanksFailed` where a score is no finite number.
  func requireFinite(_ scores: [Double], over world: Communicator) throws {
    try world.agreeing {
      guard let row = scores.firstIndex(where: { !$0.isFinite }) else { return }
      throw RewardError(score: scores[row], prompt: prompts[row], answer: answers[row])
    }
  }
}

/// A reward that is no number.
struct RewardError: Error, CustomStringConvertible {
  let score: Double
  let prompt: [Int32]
  let answer: [Int32]

  var description: String {
    func list(_ tokens: [Int32]) -> String { tokens.map(String.init).joined(separator: " ") }
    return "the reward of answer \(list(answer)) to prompt \(list(prompt)) (tokens) is \(score); "
      + "accepted: finite numbers"
  }
}
