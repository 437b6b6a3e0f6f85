// PPO and GRPO: identities, brute force, masks, refusals, and sums over ranks.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training

@Suite struct AlignmentPolicyTests {
  // MARK: Divergence

  @Test(arguments: Precision.allCases)
  func `the exact divergence is never negative and 0 for equal policies`(precision: Precision)
    throws
  {
    let device = try Device(precision: precision, threads: 1)
    let tape = Tape(device, recording: false)
    let (rows, columns) = (50, 37)
    let p = draws(rows * columns, seed: 5).map { 6 * $0 }
    for closeness in [1, 1e-2, 1e-4] {
      let q = zip(p, draws(rows * columns, seed: 6)).map { $0 + closeness * $1 }
      let own = device.tensor([rows, columns], p)
      let other = device.tensor([rows, columns], q)
      let found = relativeEntropy(of: tape.constant(own), to: other).value.elements
      // Differences of logarithms about 10, whatever is left of them.
      let rounding = precision == .float32 ? 4e-6 : 1e-14
      #expect(found.allSatisfy { $0 > -rounding })
      let expected = reference(own.elements, other.elements, columns: columns)
      for (value, truth) in zip(found, expected) { #expect(abs(value - truth) < rounding) }
      let same = relativeEntropy(of: tape.constant(own), to: own).value.elements
      #expect(same.allSatisfy { $0 == 0 })
    }
    let flat = tape.constant(device.tensor([2, columns], filledWith: 3))
    for value in entropy(of: flat).value.elements {
      #expect(abs(value - log(Double(columns))) < 1e-6)
    }
  }

  /// Σ p (ln p − ln q) for each row, in Double.
  private func reference(_ p: [Double], _ q: [Double], columns: Int) -> [Double] {
    stride(from: 0, to: p.count, by: columns).map { start in
      func logs(_ x: [Double]) -> [Double] {
        let row = x[start..<start + columns]
        let total = log(row.reduce(0) { $0 + exp($1) })
        return row.map { $0 - total }
      }
      return zip(logs(p), logs(q)).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }
  }

  @Test func `k1 and k3 average to the exact divergence, and k1 as a loss pulls nowhere`() {
    let p = draws(11, seed: 1).map { 2 * $0 }
    let q = draws(11, seed: 2).map { 2 * $0 }
    func logs(_ x: [Double]) -> [Double] {
      let total = log(x.reduce(0) { $0 + exp($1) })
      return x.map { $0 - total }
    }
    let exact = reference(p, q, columns: 11)
    let (logP, logQ) = (logs(p), logs(q))
    for estimator in [KLEstimator.k1, .k3] {
      let mean = zip(logP, logQ).reduce(0) {
        $0 + exp($1.0) * estimator.estimate($1.0, reference: $1.1).value
      }
      expectEqual([mean], exact, "\(estimator)")
    }
    // E[∂k1/∂ln π · ∇ ln π] by the logits: Σ_v p_v (onehot_v − p) = 0.
    let gradient = (0..<11).map { logit in
      (0..<11).reduce(0.0) { sum, token in
        let slope = KLEstimator.k1.estimate(logP[token], reference: logQ[token]).derivative
        return sum + exp(logP[token]) * slope * ((token == logit ? 1 : 0) - exp(logP[logit]))
      }
    }
    #expect(gradient.allSatisfy { abs($0) < 1e-15 })
  }

  @Test func `k3 keeps its digits where policies hardly differ`() {
    let (value, derivative) = KLEstimator.k3.estimate(-1 + 1e-9, reference: -1)
    expectEqual([value], [5e-19], "k3", within: 1e-6)
    expectEqual([derivative], [1e-9], "derivative", within: 1e-6)
  }

  @Test func `k1 in the loss is refused with the reason`() throws {
    for (placement, estimator) in [
      (KLPlacement.reward, KLEstimator.k1), (.loss, .exact), (.loss, .k3),
    ] {
      try placement.validate(estimator, section: "ppo")
    }
    #expect {
      try KLPlacement.loss.validate(.k1, section: "ppo")
    } throws: {
      "\($0)".contains("ppo.klEstimator is k1") && "\($0)".contains("pulls nowhere")
        && "\($0)".contains("accepted: exact or k3 in the loss")
    }
    for (placement, estimator) in [
      (KLPlacement.loss, KLEstimator.k2), (.reward, .exact), (.reward, .k2), (.reward, .k3),
    ] {
      #expect(throws: SettingRangeError.self) {
        try placement.validate(estimator, section: "ppo")
      }
    }
  }

  @Test func `the controller follows the divergence in its own unit`() {
    var fixed = KLController(coefficient: 0.1)
    fixed.update(perSequence: 100, perToken: 100, answers: 64)
    #expect(fixed.coefficient == 0.1)
    for unit in KLUnit.allCases {
      var controller = KLController(
        coefficient: 0.1, adaptation: .init(target: 6, unit: unit, horizon: 10_000))
      // One tenth above the target in the own unit, far above in the other.
      let (sequence, token) = unit == .sequence ? (6.6, 600.0) : (600.0, 6.6)
      controller.update(perSequence: sequence, perToken: token, answers: 500)
      #expect(abs(controller.coefficient - 0.1 * (1 + 0.1 * 0.05)) < 1e-15)
      controller.update(perSequence: 1e9, perToken: 1e9, answers: 500)
      #expect(abs(controller.coefficient - 0.1 * 1.005 * (1 + 0.2 * 0.05)) < 1e-15)
      controller.update(perSequence: 0, perToken: 0, answers: 500)
      #expect(abs(controller.coefficient - 0.1 * 1.005 * 1.01 * 0.99) < 1e-15)
    }
    #expect(throws: SettingRangeError.self) {
      try KLController(
        coefficient: 0, adaptation: .init(target: 6, unit: .token, horizon: 100)
      ).validate(section: "ppo")
    }
  }

  // MARK: Rewards and advantages

  @Test func `the score falls on the end-of-sequence token`() {
    let mask = AnswerMask(lengths: [3, 4, 1, 0], columns: 4)
    let rewards = tokenRewards(
      penalties: [Double](repeating: 1, count: 16), coefficient: 0.5, scores: [10, 20, 30, 40],
      scorePlaces: mask.lastPlaces)
    #expect(rewards[2] == 9.5 && rewards[7] == 19.5 && rewards[8] == 29.5)
    #expect(rewards.filter { $0 == -0.5 }.count == 13)
  }

  @Test(arguments: [
    (MissingEndRule(.keep), [2.0, 3]), (MissingEndRule(.replace, amount: -1), [2, -1]),
    (MissingEndRule(.subtract, amount: 0.5), [2, 2.5]),
  ])
  func `an answer without end is scored by the rule`(rule: MissingEndRule, scores: [Double]) {
    #expect(rule.scores([2, 3], hasEnd: [true, false]) == scores)
  }

  @Test(arguments: [(1.0, 0.95), (0.97, 0.9), (0.9, 0), (0.9, 1)])
  func `advantages equal the sum over all later surprises`(discount: Double, lambda: Double) {
    let (rows, columns) = (6, 9)
    let rewards = draws(rows * columns, seed: 1)
    let values = draws(rows * columns, seed: 2)
    // Holes, an empty row and a full one.
    var flags = draws(rows * columns, seed: 3).map { $0 > -0.4 }
    for place in 0..<columns { (flags[place], flags[columns + place]) = (false, true) }
    let isEnd = draws(rows * columns, seed: 4).map { $0 > 0.6 }
    let last = draws(rows, seed: 5)
    let mask = AnswerMask(flags, columns: columns)
    let found = GeneralizedAdvantage(discount: discount, lambda: lambda).estimate(
      rewards: rewards, values: values, mask: mask,
      boundaries: .init(isEnd: isEnd, lastValues: last))
    var expected = [Double](repeating: 0, count: rows * columns)
    for row in 0..<rows {
      let places = mask.places(of: row).filter { flags[$0] }
      for (start, place) in places.enumerated() {
        var factor = 1.0
        for step in start..<places.count {
          let here = places[step]
          let next = step + 1 < places.count ? values[places[step + 1]] : last[row]
          expected[place] +=
            factor * (rewards[here] + (isEnd[here] ? 0 : discount * next) - values[here])
          if isEnd[here] { break }
          factor *= discount * lambda
        }
      }
    }
    expectEqual(found.advantages, expected, "advantages")
    expectEqual(
      found.returns, flags.indices.map { flags[$0] ? expected[$0] + values[$0] : 0 }, "returns")
  }

  @Test func `what lies outside the mask changes nothing`() {
    let mask = AnswerMask(lengths: [4, 1, 3], columns: 5)
    func noise(_ values: [Double]) -> [Double] {
      values.indices.map { mask.holdsToken[$0] ? values[$0] : .nan }
    }
    let (a, b, c) = (draws(15, seed: 1), draws(15, seed: 2), draws(15, seed: 3))
    let rule = GeneralizedAdvantage()
    #expect(
      rule.estimate(rewards: a, values: b, mask: mask)
        == rule.estimate(rewards: noise(a), values: noise(b), mask: mask))
    let flags = mask.holdsToken
    #expect(
      Moments(of: a, mask: flags, over: .alone())
        == Moments(of: noise(a), mask: flags, over: .alone()))
    let clean = PolicyTokens(new: a, old: b, advantages: c, mask: flags)
    let dirty = PolicyTokens(new: noise(a), old: noise(b), advantages: noise(c), mask: flags)
    #expect(
      ClippedPolicyLoss().evaluate(clean, globalTokens: 8).share
        == ClippedPolicyLoss().evaluate(dirty, globalTokens: 8).share)
    var loss = GroupRelativeLoss()
    loss.klCoefficient = 0.1
    let counts = GroupRelativeLoss.Counts(answers: 3, tokens: 8)
    func answers(_ change: ([Double]) -> [Double]) -> GroupRelativeLoss.Answers {
      .init(
        new: change(a), old: change(b), reference: change(c), advantages: [1, -2, 0.5], mask: mask)
    }
    #expect(
      loss.evaluate(answers { $0 }, counts: counts).share
        == loss.evaluate(answers(noise), counts: counts).share)
  }

  @Test func `the first minibatch has ratio 1, and its gradient is minus the advantage`() {
    let old = draws(12, seed: 1)
    let advantages = draws(12, seed: 2)
    let mask = [Bool](repeating: true, count: 12)
    let (share, statistics) = ClippedPolicyLoss().evaluate(
      PolicyTokens(new: old, old: old, advantages: advantages, mask: mask), globalTokens: 12)
    #expect(statistics.meanRatio == 1 && statistics.approximateKL == 0)
    #expect(statistics.clippedShare == 0)
    expectEqual([share.value], [-advantages.reduce(0, +) / 12], "loss")
    expectEqual(share.gradient, advantages.map { -$0 / 12 }, "gradient")
  }

  @Test(arguments: GroupLossForm.allCases, ImportanceLevel.allCases)
  func `the gradient of every group loss is that of its value`(
    form: GroupLossForm, importance: ImportanceLevel
  ) {
    var loss = GroupRelativeLoss()
    loss.form = form
    loss.importance = importance
    loss.clipHigh = 0.28
    loss.klCoefficient = 0.3
    loss.longestAnswer = 6
    let mask = AnswerMask(draws(24, seed: 4).map { $0 > -0.5 }, columns: 6)
    let (old, reference) = (draws(24, seed: 2), draws(24, seed: 3))
    let new = zip(old, draws(24, seed: 1)).map { $0 + 0.4 * $1 }
    func share(_ new: [Double]) -> LossShare {
      loss.evaluate(
        .init(
          new: new, old: old, reference: reference, advantages: [1.5, -1, 0.7, -2], mask: mask),
        counts: .init(answers: 4, tokens: mask.tokens)
      ).share
    }
    expectEqual(
      share(new).gradient, differences(of: new) { share($0).value }, "\(form) \(importance)",
      within: AlignmentBar.differences)
  }

  @Test func `groups whose rewards are all equal teach nothing and are counted`() {
    let found = GroupAdvantages(
      [1, 1, 1, 0, 3, 0], groupSize: 3, scale: .group, over: .alone())
    #expect(found.flatGroups == 1 && found.groups == 2)
    #expect(found.advantages[..<3] == [0, 0, 0])
    #expect(abs(found.advantages[4] - 2 / (3.0.squareRoot() + 1e-4)) < 1e-14)
  }
}
