// Preference and reward losses: identities, gradients, extremes, and sums over ranks.

import Foundation
import Parallel
import Tensors
import Testing
import Training

@Suite struct AlignmentPreferenceTests {
  private static let losses: [PreferenceLoss] = PreferenceLossKind.allCases.flatMap { kind in
    LogRatioScale.allCases.map { scale in
      PreferenceLoss(
        kind, beta: 0.3, labelSmoothing: kind.smoothsLabels ? 0.2 : 0, scale: scale)
    }
  }

  private let policy = Paired(
    chosen: draws(7, seed: 1).map { 4 * $0 - 9 }, rejected: draws(7, seed: 2).map { 4 * $0 - 9 })
  private let reference = Paired(
    chosen: draws(7, seed: 3).map { 4 * $0 - 9 }, rejected: draws(7, seed: 4).map { 4 * $0 - 9 })
  private let lengths = Paired(chosen: [3, 1, 8, 2, 5, 9, 4], rejected: [2, 6, 1, 7, 5, 3, 1])

  @Test(arguments: [PreferenceLossKind.sigmoid, .robust], [0, 0.1, 0.45])
  func `the loss is ln 2 where policy and reference agree`(
    kind: PreferenceLossKind, smoothing: Double
  ) {
    let evaluation = PreferenceLoss(kind, beta: 0.7, labelSmoothing: smoothing)
      .evaluate(policy, reference: policy, lengths: nil)
    for loss in evaluation.losses { #expect(abs(loss - log(2)) < 1e-14) }
    #expect(evaluation.rewards.chosen.allSatisfy { $0 == 0 })
  }

  @Test(arguments: losses)
  func `the gradient is that of the loss`(loss: PreferenceLoss) {
    let found = loss.evaluate(policy, reference: reference, lengths: lengths)
    func total(_ policy: Paired<Double>) -> Double {
      loss.evaluate(policy, reference: reference, lengths: lengths).losses.reduce(0, +)
    }
    expectEqual(
      found.gradient.chosen,
      differences(of: policy.chosen) {
        total(Paired(chosen: $0, rejected: policy.rejected))
      }, "\(loss.kind) by chosen", within: AlignmentBar.differences)
    expectEqual(
      found.gradient.rejected,
      differences(of: policy.rejected) {
        total(Paired(chosen: policy.chosen, rejected: $0))
      }, "\(loss.kind) by rejected", within: AlignmentBar.differences)
  }

  @Test(arguments: losses)
  func `far log-ratios give finite losses and gradients`(loss: PreferenceLoss) {
    let far = Paired(chosen: [1e5, -1e5, 0, -1e5], rejected: [-1e5, 1e5, -1e5, -1e5])
    let found = loss.evaluate(
      far, reference: nil, lengths: Paired(chosen: [1, 1, 1, 1], rejected: [1, 1, 1, 1]))
    let all = found.losses + found.gradient.chosen + found.gradient.rejected
    #expect(all.allSatisfy { $0.isFinite }, "\(all)")
  }

  @Test func `without a reference its log-probabilities count as nothing`() {
    let none = Paired(
      chosen: [Double](repeating: 0, count: 7), rejected: .init(repeating: 0, count: 7))
    let loss = PreferenceLoss()
    let free = loss.evaluate(policy, reference: nil, lengths: nil)
    #expect(free.losses == loss.evaluate(policy, reference: none, lengths: nil).losses)
    #expect(free.losses != loss.evaluate(policy, reference: reference, lengths: nil).losses)
  }

  @Test(arguments: [
    (PreferenceLoss(beta: 0), "dpo.beta"), (PreferenceLoss(beta: .infinity), "dpo.beta"),
    (PreferenceLoss(labelSmoothing: 0.5), "dpo.labelSmoothing"),
    (PreferenceLoss(.hinge, labelSmoothing: 0.1), "dpo.kind hinge"),
  ])
  func `settings out of range are refused by name`(loss: PreferenceLoss, words: String) {
    #expect {
      try loss.validate(section: "dpo")
    } throws: {
      "\($0)".contains(words) && "\($0)".contains("accepted:")
    }
  }

  @Test func `parts of the pairs add up to the whole loss and its statistics`() throws {
    let loss = PreferenceLoss(.ipo, scale: .token)
    let (policy, reference, lengths) = (policy, reference, lengths)
    @Sendable func part(_ range: Range<Int>) -> (PreferenceEvaluation, Paired<Double>) {
      func cut<Value>(_ pairs: Paired<Value>) -> Paired<Value> {
        Paired(chosen: Array(pairs.chosen[range]), rejected: Array(pairs.rejected[range]))
      }
      let own = cut(policy)
      return (loss.evaluate(own, reference: cut(reference), lengths: cut(lengths)), own)
    }
    func value(_ part: (PreferenceEvaluation, Paired<Double>)) throws -> Double {
      try onTape([([part.1.count, 1], part.1.chosen), ([part.1.count, 1], part.1.rejected)]) {
        part.0.loss(chosen: $0[0], rejected: $0[1], globalPairs: 7)
      }.value
    }
    expectEqual(
      [try value(part(0..<3)) + value(part(3..<7))], [try value(part(0..<7))], "loss")
    let named = try InProcessRanks.run(2) { world in
      let own = part(world.rank == 0 ? 0..<2 : 2..<7)
      var statistics = PreferenceStatistics()
      statistics.add(own.0, policy: own.1)
      return statistics.summed(over: world).named.map(\.value)
    }
    var whole = PreferenceStatistics()
    whole.add(part(0..<7).0, policy: policy)
    expectEqual(named[0], whole.named.map(\.value), "statistics")
    #expect(named[0] == named[1])
    let means = Dictionary(uniqueKeysWithValues: whole.named)
    #expect(
      abs(means["rewards/margins"]! - means["rewards/chosen"]! + means["rewards/rejected"]!) < 1e-14
    )
  }

  // MARK: Rewards

  @Test func `the reward loss is ln 2 with a head of zeros`() {
    let zeros = Paired(chosen: [0.0, 0, 0], rejected: [0.0, 0, 0])
    for centring in [0, 0.01] {
      let found = RewardLoss(centring: centring).evaluate(zeros, globalPairs: 3)
      #expect(abs(found.value - log(2)) < 1e-15)
    }
    var tally = PairTally()
    tally.add(zeros)
    #expect(tally.accuracy == 0 && tally.ties == 3)
  }

  @Test func `without margin and centring it is minus ln sigmoid of the difference`() {
    let pairs = Paired(chosen: [0.3, -2, 40], rejected: [1.1, -5, -1])
    let found = RewardLoss().evaluate(pairs, globalPairs: 3).value
    let formula = zip(pairs.chosen, pairs.rejected).reduce(0) {
      $0 - log(1 / (1 + exp($1.1 - $1.0)))
    }
    expectEqual([found], [formula / 3], "loss")
    let extreme = RewardLoss().evaluate(
      Paired(chosen: [-1e4], rejected: [1e4]), globalPairs: 1)
    #expect(extreme.value == 2e4 && extreme.gradient.chosen == [-1])
  }

  @Test(arguments: [(0, 10), (10, 10), (8, 10), (1, 1), (330, 500)])
  func `Wilson's interval ends where the share is z standard errors away`(
    successes: Int, trials: Int
  ) {
    let z = 1.959963984540054
    let interval = wilsonInterval(successes, of: trials)
    let share = Double(successes) / Double(trials)
    #expect(interval.contains(share))
    for end in [interval.lowerBound, interval.upperBound] where end > 0 && end < 1 {
      let error = (end * (1 - end) / Double(trials)).squareRoot()
      #expect(abs(abs(end - share) - z * error) < 1e-12)
    }
    #expect(wilsonInterval(0, of: 0) == 0...1)
  }

  @Test func `labels drawn from the rewards are calibrated, exaggerated rewards are not`() throws {
    let uniform = draws(40_000, seed: 9).map { ($0 + 1) / 2 }
    let gaps = draws(20_000, seed: 8).map { 3 * $0 }
    // Of two completions with rewards ±gap/2 the first is labelled chosen with probability σ(gap).
    let pairs = Paired(
      chosen: gaps.indices.map { uniform[$0] < 1 / (1 + exp(-gaps[$0])) ? gaps[$0] : 0 },
      rejected: gaps.indices.map { uniform[$0] < 1 / (1 + exp(-gaps[$0])) ? 0 : gaps[$0] })
    let curves = try InProcessRanks.run(2) { world in
      var curve = CalibrationCurve()
      let own = world.rank == 0 ? 0..<7_000 : 7_000..<20_000
      curve.add(
        Paired(chosen: Array(pairs.chosen[own]), rejected: Array(pairs.rejected[own])))
      return curve.summed(over: world)
    }
    let curve = curves[0]
    #expect(curve.bins.reduce(0) { $0 + $1.pairs } == 20_000)
    for bin in curve.bins where bin.pairs > 0 {
      let error = (bin.predicted * (1 - bin.predicted) / Double(bin.pairs)).squareRoot()
      #expect(abs(bin.observed - bin.predicted) < 4 * error, "\(bin)")
    }
    var exaggerated = CalibrationCurve()
    exaggerated.add(
      Paired(chosen: pairs.chosen.map { 3 * $0 }, rejected: pairs.rejected.map { 3 * $0 }))
    #expect(curve.error < 0.01 && exaggerated.error > 0.1)
  }

  // MARK: Best of n

  @Test func `the best of n is the mean over all choices of n`() {
    let proxy: [Double] = [0.3, -1, 2, 0.7, 0.7, -0.2, 0.7]
    let gold: [Double] = [1, 5, -2, 4, 0.5, 3, 8]
    for n in 1...7 {
      var total = 0.0
      var choices = 0
      for set in 0..<128 where set.nonzeroBitCount == n {
        let members = (0..<7).filter { set >> $0 & 1 == 1 }
        let best = members.map { proxy[$0] }.max()!
        let tied = members.filter { proxy[$0] == best }
        total += tied.reduce(0) { $0 + gold[$1] } / Double(tied.count)
        choices += 1
      }
      expectEqual(
        [BestOfN.reward(n, proxy: proxy, gold: gold)], [total / Double(choices)], "best of \(n)")
    }
  }

  @Test(arguments: [1, 2, 5, 64])
  func `the divergence of best-of-n is that of the largest of n draws`(n: Int) {
    // 400,000 answers of equal probability, in the order of their reward.
    let count = 400_000.0
    let divergence = (0..<400_000).reduce(0.0) { sum, rank in
      let p = pow(Double(rank + 1) / count, Double(n)) - pow(Double(rank) / count, Double(n))
      return sum + (p > 0 ? p * log(p * count) : 0)
    }
    #expect(abs(divergence - BestOfN.divergence(n)) < 1e-3)
  }
}
