// A policy beside the model that it came from: their answers to the same prompts, and how far it went.
//
// What answers are worth is said elsewhere: by a reward closure, a reward model, or a task's gold.

import Kernels
import Parallel
import Tensors
import Training
import Transformer

/// Answers of one or two models to the same prompts, alike on every rank.
public struct PolicyAnswers: Sendable {
  /// The prompt of each drawn answer.
  public let prompts: [[Int32]]
  /// Drawn from the policy.
  public let drawn: [Continuation]
  /// Drawn from the reference, as many; empty where there is none.
  public let reference: [Continuation]
  /// Σ over an answer's tokens of KL(policy‖reference) over the vocabulary, in nats: of each answer
  /// that the policy drew; empty where there is no reference.
  public let divergences: [Double]

  /// The worth of the policy's and of the reference's answers.
  public func rewards(_ reward: AnswerReward) -> (drawn: [Double], reference: [Double]) {
    func all(_ answers: [Continuation]) -> [Double] {
      zip(prompts, answers).map { reward($0, $1.tokens) }
    }
    return (all(drawn), all(reference))
  }

  /// The share of the policy's answers that its stop token ended.
  public var ended: Int { drawn.count { $0.isFinished } }
}

/// Asks a policy, and a reference of the same vocabulary where there is one.
public struct PolicyComparison {
  private let policy: LanguageModel
  private let reference: LanguageModel?
  private let mesh: ProcessMesh

  /// Sequences that a rank puts through both models at a time.
  private static let scoredAtOnce = 16

  public init(_ policy: LanguageModel, against reference: LanguageModel? = nil, mesh: ProcessMesh) {
    self.policy = policy
    self.reference = reference
    self.mesh = mesh
    guard let reference else { return }
    require(
      policy.configuration.vocabulary == reference.configuration.vocabulary,
      "vocabularies \(policy.configuration.vocabulary), \(reference.configuration.vocabulary)")
  }

  /// `samples` answers to each prompt from both, all by numbers of their own, so that no two share
  /// random numbers. Every rank calls it alike.
  public func ask(_ prompts: [[Int32]], samples: Int, _ options: SamplingOptions) -> PolicyAnswers {
    let asked = prompts.flatMap { Array(repeating: $0, count: samples) }
    let drawn = answers(of: policy, to: asked, options, firstSample: 0)
    let others =
      reference.map { answers(of: $0, to: asked, options, firstSample: asked.count) } ?? []
    return PolicyAnswers(
      prompts: asked, drawn: drawn, reference: others,
      divergences: reference.map { divergences(of: drawn, to: asked, $0) } ?? [])
  }

  /// The policy's likeliest tokens after each prompt.
  public func greedy(_ prompts: [[Int32]], _ options: SamplingOptions) -> [Continuation] {
    var options = options
    options.temperature = 0
    return answers(of: policy, to: prompts, options, firstSample: 0)
  }

  private func answers(
    of model: LanguageModel, to prompts: [[Int32]], _ options: SamplingOptions, firstSample: Int
  ) -> [Continuation] {
    model.generate(
      sharing: prompts, options, samples: prompts.indices.map { firstSample + $0 })
  }

  private func divergences(
    of answers: [Continuation], to prompts: [[Int32]], _ reference: LanguageModel
  ) -> [Double] {
    let data = mesh.communicator(.data)
    // Padding takes no part, whatever it is.
    let rows = AnswerRows(
      prompts: prompts, answers: answers.map(\.tokens), padding: 0)
    let everything = Array(0..<rows.count)
    // What a rank does not add is 0: sums over ranks are exact.
    var all = [Double](repeating: 0, count: rows.count)
    for part in rows.batches(of: everything, microBatch: Self.scoredAtOnce, over: data) {
      mesh.world.goOn()
      let batch = part.micro.batch
      let tape = Tape(policy.device, recording: false)
      let other = wholeLogits(of: reference, batch, on: Tape(reference.device, recording: false))
      // The vocabulary is whole here, so every rank of a tensor group has all tokens' divergences.
      let byToken = relativeEntropy(
        of: tape.constant(wholeLogits(of: policy, batch, on: tape)), to: other
      ).value.elements
      for (position, place) in part.places.enumerated() where place >= 0 {
        all[place / rows.mask.columns] += byToken[position]
      }
    }
    return data.sum(all)
  }

  /// [T, V] on every rank of the tensor group.
  private func wholeLogits(of model: LanguageModel, _ batch: Batch, on tape: Tape) -> Tensor {
    let output = model.forward(batch, on: tape)
    return model.wholeLogits(model.logits(output.hidden, tokens: batch.outputs).value)
  }
}

/// A reward model's numbers for answers.
public struct AnswerScores {
  private let model: LanguageModel
  private let mesh: ProcessMesh

  private static let atOnce = 64

  /// `model` has a scalar head.
  public init(_ model: LanguageModel, mesh: ProcessMesh) {
    self.model = model
    self.mesh = mesh
  }

  /// The reward at each answer's last token, its stop token, as reward models learn it. Answers that
  /// did not end were never judged: they count as worse than all others by 1. Throws `RanksFailed`
  /// where one is no finite number.
  public func callAsFunction(
    _ prompts: [[Int32]], _ answers: [Continuation]
  ) throws -> [Double] {
    let rows = AnswerRows(
      prompts: prompts, answers: answers.map(\.tokens), padding: 0)
    let scores = rows.scores(by: model, microBatch: Self.atOnce, mesh: mesh)
    try rows.requireFinite(scores, over: mesh.world)
    let worst = zip(scores, answers).filter { $0.1.isFinished }.map(\.0).min() ?? 0
    return zip(scores, answers).map { $1.isFinished ? $0 : worst - 1 }
  }
}
