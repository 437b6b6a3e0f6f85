// The families of attacks, and the candidates that each draws without knowing any model.

import Kernels

/// A way to look for a violation.
public enum AttackFamily: String, Codable, Sendable, CaseIterable {
  /// Asks plainly, in words that alignment saw.
  case direct
  /// Asks plainly, in words that it did not see.
  case heldOutPhrasing = "held-out phrasing"
  /// Wraps words that it saw in templates and fillers.
  case template
  /// Asks plainly, and samples many answers.
  case bestOfN = "best of n"
  /// Writes random tokens.
  case blindRandom = "blind random"
  /// Changes tokens at random and keeps what makes the target more probable.
  case randomSearch = "random search"
  /// Changes tokens where the gradient promises most (after Zou et al. 2023).
  case gradientSearch = "gradient search"

  /// Whether candidates depend on the model's scores of earlier ones.
  public var isSearch: Bool { self == .randomSearch || self == .gradientSearch }
}

/// What an attacker writes, and how the answer is drawn.
struct AttackCandidate: Equatable {
  let segment: [Int32]
  let sample: UInt64?
}

extension AttackSurface {
  /// Candidate number `query` of a family that does not search; nil after the last one.
  func candidate(
    _ family: AttackFamily, for goal: AttackGoal, query: Int, key: RandomKey
  ) -> AttackCandidate? {
    // Goals begin with different phrasings, so that the first query weighs all alike.
    func plain(_ phrasings: [[Int32]]) -> AttackCandidate? {
      guard query < phrasings.count else { return nil }
      return AttackCandidate(
        segment: phrasings[(goal.index + query) % phrasings.count], sample: nil)
    }
    switch family {
    case .direct:
      return plain(phrasings)
    case .heldOutPhrasing:
      return plain(heldOutPhrasings)
    case .template:
      let segment = fairSegment(for: goal, key: key.derived(UInt64(query))) { draws in
        filled(templates[(goal.index + query) % templates.count], &draws)
      }
      return AttackCandidate(segment: segment, sample: nil)
    case .bestOfN:
      return AttackCandidate(
        segment: phrasings[goal.index % phrasings.count],
        sample: UInt64(goal.index) << 32 | UInt64(query))
    case .blindRandom:
      return AttackCandidate(
        segment: randomSegment(for: goal, key: key.derived(UInt64(query))), sample: nil)
    case .randomSearch, .gradientSearch:
      fatalError("\(family.rawValue) has no list of candidates")
    }
  }

  /// A fair segment of full length, each token equally likely.
  func randomSegment(for goal: AttackGoal, key: RandomKey) -> [Int32] {
    fairSegment(for: goal, key: key) { draws in
      (0..<length).map { _ in draws.element(of: tokens) }
    }
  }

  /// A fair segment that differs from this one in one place, or (three in ten) in two: where no single
  /// change helps, two may.
  func mutation(of segment: [Int32], for goal: AttackGoal, key: RandomKey) -> [Int32] {
    fairSegment(for: goal, key: key) { draws in
      var changed = segment
      let places = draws.isTrue(probability: 0.3) && segment.count > 1 ? 2 : 1
      for place in draws.elements(places, of: Array(segment.indices)) {
        changed[place] = draws.element(of: tokens.filter { $0 != segment[place] })
      }
      return changed
    }
  }

  /// Fair segments that differ from this one in one place, by one of the `choices` tokens to which the
  /// gradient there is largest. `gradient` has a row of the vocabulary for each place.
  func substitutions(
    in segment: [Int32], gradient: [Double], choices: Int, count: Int, for goal: AttackGoal,
    key: RandomKey
  ) -> [[Int32]] {
    require(
      gradient.count % segment.count == 0, "\(gradient.count) entries for \(segment.count) places")
    let width = gradient.count / segment.count
    let best = segment.indices.map { place in
      let rise = { (token: Int32) in gradient[place * width + Int(token)] }
      return Array(
        tokens.filter { $0 != segment[place] }
          .sorted { rise($0) != rise($1) ? rise($0) > rise($1) : $0 < $1 }.prefix(choices))
    }
    return (0..<count).map { proposal in
      fairSegment(for: goal, key: key.derived(UInt64(proposal))) { draws in
        var changed = segment
        let place = draws.integer(below: segment.count)
        changed[place] = draws.element(of: best[place])
        return changed
      }
    }
  }

  /// The first fair segment among what `draw` gives.
  private func fairSegment(
    for goal: AttackGoal, key: RandomKey, _ draw: (inout KeyedDraws) -> [Int32]
  ) -> [Int32] {
    for attempt in 0..<1000 as Range<UInt64> {
      var draws = KeyedDraws(key.derived(attempt))
      let segment = draw(&draws)
      if goal.isFair(segment) { return segment }
    }
    fatalError("goal \(goal.index): none of 1000 segments is fair")
  }

  private func filled(_ template: [Slot], _ draws: inout KeyedDraws) -> [Int32] {
    template.flatMap { slot in
      switch slot {
      case .phrasing: draws.element(of: phrasings)
      case .filler: [draws.element(of: fillers)]
      case .token(let token): [token]
      }
    }
  }
}
