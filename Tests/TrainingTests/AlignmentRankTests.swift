// The objectives of post-training do not depend on how many ranks share the answers.

import Parallel
import Testing
import Training

@Suite struct AlignmentRankTests {
  @Test(arguments: [[4, 4], [1, 7], [0, 8], [3, 0, 5]])
  func `ranks that share the answers compute what one computes`(rows: [Int]) throws {
    let (all, columns) = (8, 5)
    let mask = AnswerMask(lengths: [5, 1, 3, 0, 2, 5, 4, 4], columns: columns)
    let tables = (1...5).map { draws(all * columns, seed: UInt64($0)) }
    let rewards = draws(all, seed: 6)
    @Sendable func results(_ range: Range<Int>, _ world: Communicator) -> [Double] {
      let places = range.lowerBound * columns..<range.upperBound * columns
      let own = tables.map { Array($0[places]) }
      let flags = Array(mask.holdsToken[places])
      let part = AnswerMask(flags, columns: columns)
      let moments = Moments(of: own[0], mask: flags, over: world)
      let advantages = moments.whitened(own[0])
      let tokens = world.sum(part.tokens)
      let (policy, policyStatistics) = ClippedPolicyLoss().evaluate(
        PolicyTokens(new: own[1], old: own[2], advantages: advantages, mask: flags),
        globalTokens: tokens)
      let (value, valueStatistics) = ClippedValueLoss().evaluate(
        ValueTokens(new: own[3], old: own[4], returns: own[0], mask: flags), globalTokens: tokens)
      let pull = KLEstimator.k3.share(
        own[1], reference: own[2], mask: flags, coefficient: 0.2, globalTokens: tokens)
      var update = policyStatistics
      update += valueStatistics
      var rollout = RolloutStatistics()
      rollout.add(
        .init(
          logProbabilities: own[1], reference: own[2], exactKL: own[3], penaltyRewards: own[4],
          mask: part), scores: Array(rewards[range]), hasEnd: rewards[range].map { $0 > 0 })
      let sums = world.sum([policy.value, value.value, pull.value])
      let minibatch = update.summed(over: world)
      let variance = explainedVariance(
        values: own[3], returns: own[0], mask: flags, over: world)
      return sums + [moments.mean, moments.unbiasedVariance, variance]
        + UpdateStatistics.named([minibatch, minibatch]).map(\.value)
        + rollout.summed(over: world).named.map(\.value)
    }
    let one = results(0..<all, .alone())
    #expect(one.allSatisfy { $0.isFinite })
    let found = try InProcessRanks.run(rows.count) { world in
      let first = rows[..<world.rank].reduce(0, +)
      return results(first..<first + rows[world.rank], world)
    }
    for rank in found { expectEqual(rank, one, "\(rows)") }
  }

  @Test func `group advantages do not depend on the ranks that hold the groups`() throws {
    let rewards = draws(12, seed: 3)
    for scale in AdvantageScale.allCases {
      let one = GroupAdvantages(rewards, groupSize: 3, scale: scale, over: .alone())
      let found = try InProcessRanks.run(2) { world in
        let own = world.rank == 0 ? rewards[..<3] : rewards[3...]
        return GroupAdvantages(Array(own), groupSize: 3, scale: scale, over: world)
      }
      expectEqual(found.flatMap(\.advantages), one.advantages, "\(scale)")
      #expect(found.allSatisfy { $0.groups == 4 })
    }
  }

  @Test func `explained variance is 1 for a perfect critic and 0 for one that says the mean`() {
    let returns = draws(20, seed: 1)
    let mask = [Bool](repeating: true, count: 20)
    func explained(_ values: [Double]) -> Double {
      explainedVariance(values: values, returns: returns, mask: mask, over: .alone())
    }
    #expect(explained(returns) == 1)
    #expect(abs(explained([Double](repeating: 0.4, count: 20))) < 1e-12)
    #expect(explained(returns.map { -$0 }) < 0)
  }
}
