// Whether each schedule follows its formula, at values worked out by hand.

import Foundation
import Testing
import Training

@Suite struct `Learning rate schedule` {
  func schedule(
    _ kind: ScheduleKind, steps: Int = 110, warmup: Int = 10, decay: Double = 0.2,
    final: Double = 0.1
  ) -> LearningRateSchedule {
    var configuration = ScheduleConfiguration()
    configuration.kind = kind
    configuration.warmup = warmup
    configuration.decay = decay
    configuration.final = final
    return LearningRateSchedule(configuration, steps: steps)
  }

  @Test(arguments: ScheduleKind.allCases)
  func `every kind warms up evenly to the peak and never learns at zero`(kind: ScheduleKind) {
    let schedule = schedule(kind)
    for step in 0..<10 {
      #expect(abs(schedule.factor(step: step) - Double(step + 1) / 11) < 1e-15)
    }
    #expect(schedule.factor(step: 10) == 1)
    #expect((0..<110).allSatisfy { schedule.factor(step: $0) > 0 })
  }

  // With 110 steps, 10 of warm-up and a final fraction of 0.1: the quarter, half and three quarter
  // points of the fall are steps 35, 60 and 85. cos π/4 = √½.
  static let falls: [(ScheduleKind, [Double])] = [
    (.constant, [1, 1, 1, 1]),
    (.cosine, [0.55 + 0.45 * 0.5.squareRoot(), 0.55, 0.55 - 0.45 * 0.5.squareRoot(), 0.1]),
    (.linear, [0.775, 0.55, 0.325, 0.1]),
  ]

  @Test(arguments: falls)
  func `the fall has its closed form`(kind: ScheduleKind, values: [Double]) {
    let schedule = schedule(kind)
    for (step, value) in zip([35, 60, 85, 110], values) {
      #expect(abs(schedule.factor(step: step) - value) < 1e-15, "step \(step)")
    }
    #expect(schedule.factor(step: 5000) == values.last)
  }

  @Test func `warm-up-stable-decay stays at the peak and falls as one less a root`() {
    let schedule = schedule(.warmupStableDecay, steps: 200, warmup: 20, decay: 0.5)
    #expect(schedule.decaySteps == 100)
    #expect((20...100).allSatisfy { schedule.factor(step: $0) == 1 })
    // A quarter on, the root is a half.
    #expect(abs(schedule.factor(step: 125) - 0.55) < 1e-15)
    #expect(abs(schedule.factor(step: 164) - (0.1 + 0.9 * 0.2)) < 1e-15)
    #expect(schedule.factor(step: 200) == 0.1)
  }

  @Test(arguments: ScheduleKind.allCases)
  func `no kind ever rises after the warm-up`(kind: ScheduleKind) {
    let schedule = schedule(kind, steps: 73, warmup: 9, decay: 0.37, final: 0)
    for step in 9..<100 {
      #expect(schedule.factor(step: step + 1) <= schedule.factor(step: step), "step \(step)")
      #expect((0...1).contains(schedule.factor(step: step)))
    }
  }

  @Test(arguments: ScheduleKind.allCases)
  func `degenerate lengths have finite factors`(kind: ScheduleKind) {
    for (steps, warmup) in [(1, 0), (1, 1), (5, 5), (5, 50)] {
      let schedule = schedule(kind, steps: steps, warmup: warmup, decay: 0)
      for step in 0...60 { #expect((0...1).contains(schedule.factor(step: step))) }
    }
  }
}
