// How fast a run goes, and when it will be done.

import Foundation
import Kernels

/// A smoothed rate and the time left.
///
/// Steps count with weights that fade over half a minute or ten steps, whichever is longer. Pauses
/// between steps (evaluation, saving, samples) are spread over all steps of this process, so that
/// the time left does not jump at each. What passed before the first step is no pause. The first
/// step, which warms caches and memory up, counts only until there is a second.
public struct RateMeter: Sendable {
  private let totalSteps: Int
  private let startStep: Int
  private var step: Int
  private var weightedSteps = 0.0
  private var weightedSeconds = 0.0
  private var weightedTokens = 0.0
  private var recorded = 0
  private var stepSeconds = 0.0
  /// Seconds that were over when the first step began.
  private var firstStart = 0.0
  private var elapsed = 0.0

  /// Seconds in which a step's weight falls to 1/e.
  private static let memory = 30.0
  /// A step's weight falls by no more than this when another comes.
  private static let slowestFading = 0.9

  /// `resumedStep` steps were done before this process started.
  public init(totalSteps: Int, resumedStep: Int = 0) {
    self.totalSteps = totalSteps
    startStep = resumedStep
    step = resumedStep
  }

  /// Takes note of a step that took `seconds`; `elapsed` seconds of this process are over.
  public mutating func record(step: Int, seconds: Double, tokens: Int, elapsed: Double) {
    require(step > self.step, "step \(step) after step \(self.step)")
    if recorded == 0 { firstStart = elapsed - seconds }
    let fading =
      recorded == 1 ? 0 : max(exp(-max(seconds, 0) / Self.memory), Self.slowestFading)
    let steps = Double(step - self.step)
    weightedSteps = weightedSteps * fading + steps
    weightedSeconds = weightedSeconds * fading + seconds
    weightedTokens = weightedTokens * fading + Double(tokens)
    recorded += 1
    stepSeconds += seconds
    self.elapsed = max(self.elapsed, elapsed)
    self.step = step
  }

  /// Of a step alone, without pauses; nil before the first.
  public var secondsPerStep: Double? {
    weightedSteps > 0 ? weightedSeconds / weightedSteps : nil
  }

  public var tokensPerSecond: Double? {
    weightedSeconds > 0 ? weightedTokens / weightedSeconds : nil
  }

  /// Seconds until the last step is done; nil before the first.
  public var timeLeft: Double? {
    guard let secondsPerStep else { return nil }
    let pauses = max(0, elapsed - firstStart - stepSeconds) / Double(step - startStep)
    return Double(max(0, totalSteps - step)) * (secondsPerStep + pauses)
  }
}
