// Intervals and estimators against their definitions.

import Foundation
import Kernels
import Tasks
import Testing

@Suite struct Statistics {
  @Test(arguments: [(1, 10), (44, 100), (250, 500), (9, 10), (3, 3000)])
  func `Wilson's ends are the shares that the sample just fails to reject`(
    successes: Int, trials: Int
  ) {
    let interval = Interval.wilson(successes: Double(successes), trials: trials)
    let seen = Double(successes) / Double(trials)
    for end in [interval.low, interval.high] {
      let error = (end * (1 - end) / Double(trials)).squareRoot()
      #expect(abs(abs(seen - end) / error - 1.959963984540054) < 1e-9)
    }
    #expect(interval.low < seen && seen < interval.high)
  }

  @Test func `nothing of a hundred leaves room for 3.7 percent`() {
    // z² / (n + z²)
    let z = 1.959963984540054
    #expect(Share(0, of: 100).interval.low == 0)
    #expect(abs(Share(0, of: 100).interval.high - z * z / (100 + z * z)) < 1e-12)
    #expect(Share(100, of: 100).interval.high == 1)
    #expect(abs(Share(100, of: 100).interval.low - 100 / (100 + z * z)) < 1e-12)
    #expect(Share(44, of: 100).text == "44.0% (34.7–53.8%)")
  }

  @Test func `the bootstrap of a mean is as wide as theory says, and draws whole clusters`() {
    let key = RandomKey(seed: 2, name: "test")
    let values = (0..<400).map { uniform(key, counter: UInt64($0)) }
    let mean = values.reduce(0, +) / 400
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 400
    let theory = 1.96 * (variance / 400).squareRoot()
    let single = Interval.bootstrap(values, clusters: Array(0..<400), key: key)
    #expect(abs((single.high - single.low) / (2 * theory) - 1) < 0.1)
    #expect(single.low < mean && mean < single.high)
    // Four copies of each value in one cluster are no more evidence than one.
    let copies = values.flatMap { Array(repeating: $0, count: 4) }
    let clustered = Interval.bootstrap(copies, clusters: (0..<1600).map { $0 / 4 }, key: key)
    #expect(abs(clustered.low - single.low) < 1e-12 && abs(clustered.high - single.high) < 1e-12)
    let apart = Interval.bootstrap(copies, clusters: Array(0..<1600), key: key)
    #expect(abs((apart.high - apart.low) / theory - 1) < 0.1)
  }

  @Test func `a tie is half a win`() {
    let prompts = (0..<4).map { [Int32($0)] }
    let rate = WinRate([1, 2, 3, 4], against: [0, 2, 4, 3], prompts: prompts)
    #expect((rate.wins, rate.ties, rate.losses) == (2, 1, 1))
    #expect(rate.rate == 0.625)
    #expect(rate.interval == .wilson(successes: 2.5, trials: 4))
    let turned = WinRate([0, 2, 4, 3], against: [1, 2, 3, 4], prompts: prompts)
    #expect(turned.rate == 1 - rate.rate)
    #expect(abs(turned.interval.low - (1 - rate.interval.high)) < 1e-12)
  }

  @Test func `answers to one prompt that win together widen the interval`() {
    // 8 prompts of 50 answers; all answers to a prompt win, or all lose.
    let ours = (0..<400).map { Double($0 / 50 % 2) }
    let theirs = Array(repeating: 0.5, count: 400)
    let apart = WinRate(ours, against: theirs, prompts: (0..<400).map { [Int32($0)] })
    let together = WinRate(ours, against: theirs, prompts: (0..<400).map { [Int32($0 / 50)] })
    #expect(apart.rate == together.rate)
    let widths = [apart, together].map { $0.interval.high - $0.interval.low }
    #expect(widths[1] > 3 * widths[0])
  }

  @Test func `success of k answers equals the share of all choices of k that hold one`() {
    for n in 1...8 {
      for c in 0...n {
        for k in 1...n {
          let choices = (0..<(1 << n)).filter { $0.nonzeroBitCount == k }
          // The first c answers are those that succeed.
          let holding = choices.count { $0 & ((1 << c) - 1) != 0 }
          let truth = Double(holding) / Double(choices.count)
          #expect(abs(successProbability(at: k, successes: c, of: n) - truth) < 1e-12)
        }
      }
    }
    #expect(abs(successProbability(at: 64, successes: 1, of: 12_800) - 0.005) < 1e-12)
  }

  @Test func `a summary takes Wilson's interval for shares and the bootstrap for means`() throws {
    let task = SortTask()
    let prompts = task.evaluationPrompts(200)
    let key = RandomKey(seed: 0, name: "test")
    let answers = prompts.enumerated().map { index, prompt in
      index < 50 ? [Vocabulary.end] : task.demonstration(of: prompt, key: key)
    }
    let summary = task.summary(of: answers, to: prompts)
    #expect(summary.map(\.name) == ["gold", "exact"])
    // A sole end right away is right nowhere.
    #expect(abs(summary[0].mean - 0.75) < 1e-12)
    let distinct = Set(prompts).count == 200
    #expect(distinct && summary[1].interval == .wilson(successes: 150, trials: 200))
    let width = summary[0].interval.high - summary[0].interval.low
    #expect(abs(width / (2 * 1.96 * (0.75 * 0.25 / 200).squareRoot()) - 1) < 0.15)
  }
}
