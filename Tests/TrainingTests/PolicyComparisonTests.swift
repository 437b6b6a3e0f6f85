// A policy beside its reference: the exact divergence against a sum over the vocabulary in Double, and
// the same figures under every layout.

import Foundation
import Parallel
import Stages
import Tensors
import Testing
import Training
import Transformer

@Suite struct PolicyComparisonTests {
  static let vocabulary = 19

  private func model(seed: UInt64, head: ScalarHead = .none, on mesh: ProcessMesh) throws
    -> LanguageModel
  {
    var configuration = ModelConfiguration()
    configuration.vocabulary = Self.vocabulary
    configuration.width = 16
    configuration.layers = 2
    configuration.heads = 4
    configuration.keyValueHeads = 2
    configuration.initialDeviation = 0.3
    configuration.router.experts = 4
    configuration.router.expertWidth = 12
    configuration.scalarHead = head
    return try LanguageModel(
      configuration, on: try Device(precision: .float64, threads: 1), mesh: mesh, seed: seed)
  }

  /// Of unequal lengths, and one more than any layout deals evenly.
  static let prompts: [[Int32]] = (0..<9).map { number in
    (0...(number % 4)).map { Int32((3 * number + 5 * $0) % vocabulary) }
  }

  static var sampling: SamplingOptions {
    var options = SamplingOptions()
    options.maximumNewTokens = 7
    options.stopTokens = [1, 2]
    options.seed = 4
    return options
  }

  /// ln p of every token after `tokens`, one whole pass without a cache.
  private func logProbabilities(
    _ model: LanguageModel, after tokens: [Int32], _ device: Device
  ) -> [Double] {
    let output = model.forward(
      Batch(tokens: tokens, sequences: 1), on: Tape(device, recording: false))
    let row = model.logits(output.hidden, tokens: tokens.count).value.elements
      .suffix(Self.vocabulary)
    let highest = row.max()!
    let total = log(row.reduce(0) { $0 + exp($1 - highest) })
    return row.map { $0 - highest - total }
  }

  @Test func `the divergence is the sum over tokens and vocabulary`() throws {
    let mesh = ProcessMesh.single()
    let device = try Device(precision: .float64, threads: 1)
    let (policy, reference) = (
      try model(seed: 1, on: mesh), try model(seed: 2, on: mesh)
    )
    let answers = PolicyComparison(policy, against: reference, mesh: mesh)
      .ask(Self.prompts, samples: 2, Self.sampling)
    #expect(answers.prompts.count == 18 && answers.prompts[1] == answers.prompts[0])
    // Several lengths, and answers that do not end.
    #expect(Set(answers.drawn.map(\.tokens.count)).count > 2)
    #expect((1..<18).contains(answers.ended))
    for (number, prompt) in answers.prompts.enumerated() {
      let answer = answers.drawn[number].tokens
      var expected = 0.0
      for place in answer.indices {
        let p = logProbabilities(policy, after: prompt + answer.prefix(place), device)
        let q = logProbabilities(reference, after: prompt + answer.prefix(place), device)
        expected += zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
      }
      let found = answers.divergences[number]
      #expect(abs(found - expected) <= 1e-11 * max(1, expected), "\(found), \(expected)")
      #expect(expected > 0.01)
    }
  }

  @Test func `a policy is nowhere from itself, yet its two draws differ`() throws {
    let mesh = ProcessMesh.single()
    let (policy, same) = (try model(seed: 1, on: mesh), try model(seed: 1, on: mesh))
    let answers = PolicyComparison(policy, against: same, mesh: mesh)
      .ask(Self.prompts, samples: 1, Self.sampling)
    #expect(answers.divergences == Array(repeating: 0, count: 9))
    #expect(answers.drawn.map(\.tokens) != answers.reference.map(\.tokens))
    // The reference's draws are numbered on, so that asking the policy twice as often gives both.
    let twice = PolicyComparison(policy, mesh: mesh)
      .ask(Self.prompts + Self.prompts, samples: 1, Self.sampling)
    #expect(twice.drawn.map(\.tokens) == (answers.drawn + answers.reference).map(\.tokens))
    let lengths = answers.rewards { Double($0.count + 100 * $1.count) }
    #expect(
      lengths.reference
        == zip(Self.prompts, answers.reference).map { Double($0.count + 100 * $1.tokens.count) })
  }

  @Test func `greedy answers take the likeliest token`() throws {
    let mesh = ProcessMesh.single()
    let device = try Device(precision: .float64, threads: 1)
    let policy = try model(seed: 1, on: mesh)
    let answers = PolicyComparison(policy, mesh: mesh).greedy(Self.prompts, Self.sampling)
    for (prompt, answer) in zip(Self.prompts, answers) {
      for (place, token) in answer.tokens.enumerated() {
        let row = logProbabilities(policy, after: prompt + answer.tokens.prefix(place), device)
        #expect(row[Int(token)] == row.max())
      }
    }
  }

  @Test func `a score is read at the stop token, and an answer without one is worst`() throws {
    let mesh = ProcessMesh.single()
    let judge = try model(seed: 3, head: .normal, on: mesh)
    let drawn = PolicyComparison(try model(seed: 1, on: mesh), mesh: mesh)
      .ask(Self.prompts, samples: 2, Self.sampling)
    let scores = try AnswerScores(judge, mesh: mesh)(drawn.prompts, drawn.drawn)
    var ended: [Double] = []
    for (number, answer) in drawn.drawn.enumerated() where answer.isFinished {
      let tokens = drawn.prompts[number] + answer.tokens
      let output = judge.forward(
        Batch(tokens: tokens, sequences: 1),
        on: Tape(try Device(precision: .float64, threads: 1), recording: false))
      let expected = judge.scalars(output.hidden).value.elements.last!
      #expect(abs(scores[number] - expected) <= 1e-12)
      ended.append(expected)
    }
    let others = zip(scores, drawn.drawn).filter { !$0.1.isFinished }.map(\.0)
    #expect(!others.isEmpty && others.allSatisfy { abs($0 - (ended.min()! - 1)) < 1e-12 })
  }

  @Test func `a score that is no number is refused, with the answer`() throws {
    let mesh = ProcessMesh.single()
    let judge = try model(seed: 3, head: .normal, on: mesh)
    let head = try #require(
      judge.parameters.parameters.first { $0.name == ScalarHead.parameterName })
    head.value.assign(head.value.elements.map { _ in .nan })
    let answer = PolicyComparison(try model(seed: 1, on: mesh), mesh: mesh)
      .ask([[7, 8]], samples: 1, Self.sampling).drawn[0]
    let words = answer.tokens.map(String.init).joined(separator: " ")
    let refusal = #expect(throws: RanksFailed.self) {
      try AnswerScores(judge, mesh: mesh)([[7, 8]], [answer])
    }
    #expect(
      refusal.map { "\($0)" }
        == "the reward of answer \(words) to prompt 7 8 (tokens) is nan; accepted: finite numbers")
  }

  @Test(arguments: [
    ("data=2", 2), ("tensor=2", 2), ("expert=2", 2), ("tensor=2,expert=4", 4),
    ("tensor=4,expert=2,expert-tensor=2", 4), ("data=8,expert=4", 8),
  ])
  func `no layout changes answers, divergences and scores`(text: String, ranks: Int) throws {
    @Sendable func figures(_ mesh: ProcessMesh) throws -> ([[Int32]], [Double]) {
      let answers = PolicyComparison(
        try model(seed: 1, on: mesh), against: try model(seed: 2, on: mesh), mesh: mesh
      ).ask(Self.prompts, samples: 2, Self.sampling)
      let scores = try AnswerScores(try model(seed: 3, head: .normal, on: mesh), mesh: mesh)(
        answers.prompts, answers.drawn)
      return ((answers.drawn + answers.reference).map(\.tokens), answers.divergences + scores)
    }
    let alone = try figures(.single())
    let all = try InProcessRanks.run(ranks) { world in
      try figures(ProcessMesh(world, layout: try Layout(text, ranks: ranks)))
    }
    for rank in all {
      #expect(rank.0 == alone.0)
      for (found, expected) in zip(rank.1, alone.1) {
        #expect(abs(found - expected) <= StageBar.layout * max(1, abs(expected)))
      }
    }
  }
}
