// Figures for people, and the arithmetic of rates and the time left.

import Foundation
import Testing
import Training

@Suite struct TelemetryFigureTests {
  @Test(arguments: [
    0.0, 1, -1, 3.14159, -2.71828, 0.0004, 99.9999, 123456.789, 1e9, -0.04, 8.3177, 1e-12,
  ])
  func `fixed and scientific are what printf writes`(value: Double) {
    for digits in 0...4 {
      // printf keeps the sign of what rounds to zero.
      let fixed = String(format: "%.\(digits)f", value)
      let isZero = Double(fixed) == 0
      #expect(Figure.fixed(value, digits) == (isZero ? fixed.replacing("-", with: "") : fixed))
      #expect(Figure.scientific(value, digits) == String(format: "%.\(digits)e", value))
    }
  }

  @Test func `scientific reaches the ends of the range`() {
    #expect(Figure.scientific(9.996e-5, 2) == "1.00e-04")
    #expect(Figure.scientific(Double.leastNonzeroMagnitude, 1) == "4.9e-324")
    #expect(Figure.scientific(1.7976931348623157e308, 2) == "1.80e+308")
  }

  @Test(
    arguments: [
      (0.0, "0"), (7, "7"), (985, "985"), (999.4, "999"), (999.6, "1.00k"), (12_345, "12.3k"),
      (4_096_000, "4.10M"), (2.5e12, "2.50T"), (3.25, "3.25"),
    ] as [(Double, String)])
  func `counts have three digits`(value: Double, text: String) {
    #expect(Figure.count(value) == text)
  }

  @Test(
    arguments: [
      (0, "0 B"), (512, "512 B"), (1000, "1.00 kB"), (16_800_000, "16.8 MB"),
      (4_000_000_000, "4.00 GB"),
    ] as [(Int, String)])
  func `bytes have decimal units`(value: Int, text: String) {
    #expect(Figure.bytes(value) == text)
  }

  @Test(
    arguments: [
      (0.0, "0:00"), (42.4, "0:42"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"),
      (3800, "1:03:20"), (183_661, "2d 03:01:01"), (-1, "0:00"),
      (.infinity, "inf"), (.nan, "NaN"),
    ] as [(Double, String)])
  func `durations read as a clock`(seconds: Double, text: String) {
    #expect(Figure.duration(seconds) == text)
  }

  @Test(
    arguments: [
      (0.0, "0.00 s"), (0.00421, "4.21 ms"), (1.93, "1.93 s"), (35.2, "35.2 s"), (150, "2:30"),
      (25e-6, "0.03 ms"),
    ] as [(Double, String)])
  func `short times have a unit`(seconds: Double, text: String) {
    #expect(Figure.interval(seconds) == text)
  }

  @Test func `words stand for what is no number`() {
    #expect(Figure.fixed(.nan, 3) == "NaN")
    #expect(Figure.count(-.infinity) == "-inf")
    #expect(Figure.percent(.nan) == "NaN")
    #expect(Figure.percent(0.7143) == "71.4%")
  }

  @Test func `steady steps leave their number times their length`() {
    var meter = RateMeter(totalSteps: 100)
    #expect(meter.timeLeft == nil)
    for step in 1...40 {
      meter.record(step: step, seconds: 0.5, tokens: 1000, elapsed: Double(step) * 0.5)
    }
    #expect(abs(meter.timeLeft! - 30) < 1e-9)
    #expect(abs(meter.tokensPerSecond! - 2000) < 1e-6)
    #expect(abs(meter.secondsPerStep! - 0.5) < 1e-12)
  }

  @Test func `the first step counts only until there is a second`() {
    var meter = RateMeter(totalSteps: 10)
    meter.record(step: 1, seconds: 9, tokens: 10, elapsed: 9)
    #expect(abs(meter.timeLeft! - 81) < 1e-9)
    meter.record(step: 2, seconds: 1, tokens: 10, elapsed: 10)
    #expect(abs(meter.secondsPerStep! - 1) < 1e-12)
    #expect(abs(meter.timeLeft! - 8) < 1e-9)
  }

  @Test func `pauses between steps are spread over all steps`() {
    var meter = RateMeter(totalSteps: 100)
    // 1 s a step and a pause of 10 s after the 10th.
    for step in 1...20 {
      meter.record(
        step: step, seconds: 1, tokens: 1, elapsed: Double(step) + (step > 10 ? 10 : 0))
    }
    // 80 steps of 1 s, and of 10 s / 20 steps of pause.
    #expect(abs(meter.timeLeft! - 120) < 1e-9)
  }

  @Test func `a resumed run counts its own steps, from the first one's start`() {
    var meter = RateMeter(totalSteps: 100, resumedStep: 90)
    // 5 s to start, two steps of 2 s, 3 s between them.
    meter.record(step: 91, seconds: 2, tokens: 1, elapsed: 7)
    #expect(abs(meter.timeLeft! - 9 * 2) < 1e-9)
    meter.record(step: 92, seconds: 2, tokens: 1, elapsed: 12)
    #expect(abs(meter.timeLeft! - 8 * (2 + 3 / 2.0)) < 1e-9)
  }

  @Test func `the rate follows a change within a minute`() {
    var meter = RateMeter(totalSteps: 10_000)
    var elapsed = 0.0
    for step in 1...2000 {
      let seconds = step <= 1000 ? 0.1 : 0.2
      elapsed += seconds
      meter.record(step: step, seconds: seconds, tokens: 100, elapsed: elapsed)
      // 60 s after the change e⁻² of the weight is on the old rate: 30 s of 300 steps, against 30 s
      // of 150.
      if step == 1300 {
        let expected = 30 / (300 * exp(-2.0) + 150 * (1 - exp(-2.0)))
        #expect(abs(meter.secondsPerStep! - expected) < 0.001)
      }
    }
    #expect(abs(meter.secondsPerStep! - 0.2) < 0.001)
  }
}
