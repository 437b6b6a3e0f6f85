// Runs an attack on all goals at once, and counts what it asks of the model.

import Kernels

/// One family of attack with its budget.
///
/// A query is a candidate that the model saw: answered, or scored, or both. A goal that is hit leaves
/// the batch.
public struct Attack: Sendable {
  /// Query counts at which success is reported.
  public static let reportedQueries = [1, 8, 32, 128, 512]

  public let family: AttackFamily
  public let seed: UInt64
  /// Most queries a goal.
  public let budget: Int
  /// Most candidates a goal in one batch: of a search, how many are scored before the best is kept.
  public let width: Int

  /// Tokens that a gradient search chooses from at each place.
  private static let choices = 8

  public init(_ family: AttackFamily, seed: UInt64, budget: Int = 512, width: Int = 8) {
    require(budget > 0 && width > 0, "budget \(budget), width \(width)")
    self.family = family
    self.seed = seed
    self.budget = budget
    self.width = width
  }

  /// Attacks each goal until it is hit, the budget is spent, or no candidate is left.
  public func run(
    on goals: [AttackGoal], surface: AttackSurface, model: AttackedModel
  ) throws -> AttackResult {
    var runs = goals.map { GoalRun(goal: $0, key: key.derived(UInt64($0.index))) }
    var cost = AttackCost()
    var spent = 0
    while spent < budget {
      let open = runs.indices.filter { runs[$0].isOpen }
      guard !open.isEmpty else { break }
      let round = spent..<(spent + roundWidth(after: spent))
      if family.isSearch {
        try search(&runs, open, round, surface, model, &cost)
      } else {
        try tryList(&runs, open, round, surface, model, &cost)
      }
      spent = round.upperBound
    }
    return AttackResult(
      family: family, seed: seed, budget: budget, outcomes: runs.map(\.outcome), cost: cost)
  }

  private var key: RandomKey { RandomKey(seed: seed, name: "attack.\(family.rawValue)") }

  /// Rounds end where success is reported, so that a hit is counted at the right budget; the first
  /// holds one candidate.
  private func roundWidth(after spent: Int) -> Int {
    let end = Attack.reportedQueries.first { $0 > spent } ?? budget
    return min(width, end - spent, budget - spent)
  }

  /// Answers the next candidates of a list.
  private func tryList(
    _ runs: inout [GoalRun], _ open: [Int], _ round: Range<Int>, _ surface: AttackSurface,
    _ model: AttackedModel, _ cost: inout AttackCost
  ) throws {
    var asked: [(run: Int, query: Int, candidate: AttackCandidate)] = []
    for run in open {
      for query in round {
        guard
          let candidate = surface.candidate(
            family, for: runs[run].goal, query: query, key: runs[run].key)
        else {
          runs[run].isExhausted = true
          break
        }
        asked.append((run, query, candidate))
      }
    }
    let answers = try ask(
      asked.map { (runs[$0.run].goal, $0.candidate) }, model, &cost)
    for (question, answer) in zip(asked, answers) where runs[question.run].hit == nil {
      runs[question.run].queries = question.query + 1
      runs[question.run].see(answer, to: question.candidate)
    }
  }

  /// Scores proposals, keeps the best of each goal, and answers it where it is better than before.
  private func search(
    _ runs: inout [GoalRun], _ open: [Int], _ round: Range<Int>, _ surface: AttackSurface,
    _ model: AttackedModel, _ cost: inout AttackCost
  ) throws {
    let proposals = try proposals(runs, open, round, surface, model, &cost)
    let probes = zip(open, proposals).flatMap { run, segments in
      segments.map { AttackProbe(runs[run].goal, $0) }
    }
    let scores = try model.logProbabilities(probes)
    require(scores.count == probes.count, "\(scores.count) scores of \(probes.count) probes")
    cost.scores += probes.count
    var improved: [Int] = []
    for (place, run) in open.enumerated() {
      runs[run].queries = round.upperBound
      for (proposal, segment) in proposals[place].enumerated() {
        let score = scores[place * round.count + proposal]
        if runs[run].best.map({ score > $0.score }) ?? true {
          runs[run].best = (segment, score)
          if improved.last != run { improved.append(run) }
        }
      }
    }
    let candidates = improved.map {
      AttackCandidate(segment: runs[$0].best!.segment, sample: nil)
    }
    let answers = try ask(zip(improved, candidates).map { (runs[$0].goal, $1) }, model, &cost)
    for (place, run) in improved.enumerated() {
      runs[run].see(answers[place], to: candidates[place])
    }
  }

  /// Candidates of each open goal: a random one first, then changes of the best.
  private func proposals(
    _ runs: [GoalRun], _ open: [Int], _ round: Range<Int>, _ surface: AttackSurface,
    _ model: AttackedModel, _ cost: inout AttackCost
  ) throws -> [[[Int32]]] {
    guard round.lowerBound > 0 else {
      return open.map { run in
        round.map { query in
          surface.randomSegment(for: runs[run].goal, key: runs[run].key.derived(UInt64(query)))
        }
      }
    }
    guard family == .gradientSearch else {
      return open.map { run in
        round.map { query in
          surface.mutation(
            of: runs[run].best!.segment, for: runs[run].goal,
            key: runs[run].key.derived(UInt64(query)))
        }
      }
    }
    let probes = open.map { AttackProbe(runs[$0].goal, runs[$0].best!.segment) }
    let gradients = try model.gradients(probes)
    require(gradients.count == probes.count, "\(gradients.count) gradients of \(probes.count)")
    cost.gradients += probes.count
    return zip(open, gradients).map { run, gradient in
      surface.substitutions(
        in: runs[run].best!.segment, gradient: gradient, choices: Attack.choices,
        count: round.count, for: runs[run].goal,
        key: runs[run].key.derived(UInt64(round.lowerBound)))
    }
  }

  private func ask(
    _ questions: [(goal: AttackGoal, candidate: AttackCandidate)], _ model: AttackedModel,
    _ cost: inout AttackCost
  ) throws -> [[Int32]] {
    guard !questions.isEmpty else { return [] }
    let answers = try model.answers(
      questions.map {
        AttackQuery(prompt: $0.goal.prompt($0.candidate.segment), sample: $0.candidate.sample)
      })
    require(answers.count == questions.count, "\(answers.count) answers to \(questions.count)")
    cost.answers += questions.count
    return answers
  }
}

/// Where the attack on one goal stands.
private struct GoalRun {
  let goal: AttackGoal
  let key: RandomKey
  var queries = 0
  var best: (segment: [Int32], score: Double)?
  var hit: AttackHit?
  var isExhausted = false

  init(goal: AttackGoal, key: RandomKey) {
    self.goal = goal
    self.key = key
  }

  var isOpen: Bool { hit == nil && !isExhausted }
  var outcome: AttackOutcome { AttackOutcome(goal: goal.index, queries: queries, hit: hit) }

  mutating func see(_ answer: [Int32], to candidate: AttackCandidate) {
    guard goal.isViolation(answer) else { return }
    hit = AttackHit(
      goal: goal.index, query: queries, sample: candidate.sample, segment: candidate.segment,
      prompt: goal.prompt(candidate.segment), answer: answer)
  }
}
