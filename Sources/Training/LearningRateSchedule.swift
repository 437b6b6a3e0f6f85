// The learning rate over the steps of a run, as a factor of its peak.

import Foundation

/// A factor of the peak learning rate for each step; a pure function of the step.
///
/// Let s be the step from 0, N all steps, w the warm-up, f the final fraction. For s < w the factor
/// is (s + 1) / (w + 1) in every kind. Then, with p = (s − w) / (N − w), which grows from 0 and
/// would be 1 at step N:
/// - constant: 1
/// - cosine: f + (1 − f) · (1 + cos πp) / 2 (Loshchilov & Hutter 2017)
/// - linear: f + (1 − f) · (1 − p)
/// - warm-up-stable-decay: 1, and in the last d steps f + (1 − f) · (1 − √q),
///   q = (s − (N − d)) / d (Hägele et al. 2024, §4)
///
/// Past the last step the factor stays where step N would have it.
public struct LearningRateSchedule: Sendable, Equatable {
  public let kind: ScheduleKind
  /// N.
  public let steps: Int
  /// w.
  public let warmup: Int
  /// d.
  public let decaySteps: Int
  /// f.
  public let final: Double

  public init(_ configuration: ScheduleConfiguration, steps: Int) {
    kind = configuration.kind
    self.steps = steps
    warmup = configuration.warmup
    decaySteps = Int((configuration.decay * Double(steps)).rounded())
    final = configuration.final
  }

  /// The factor of the peak for the update of that step, counted from 0.
  public func factor(step: Int) -> Double {
    if step < warmup { return Double(step + 1) / Double(warmup + 1) }
    switch kind {
    case .constant:
      return 1
    case .cosine:
      let p = progress(of: step, from: warmup)
      return final + (1 - final) * (1 + cos(.pi * p)) / 2
    case .linear:
      return final + (1 - final) * (1 - progress(of: step, from: warmup))
    case .warmupStableDecay:
      let q = progress(of: step, from: steps - decaySteps)
      return final + (1 - final) * (1 - q.squareRoot())
    }
  }

  /// 0 until step `start`, 1 from the last step's end on, linear between.
  private func progress(of step: Int, from start: Int) -> Double {
    guard step > start else { return 0 }
    guard step < steps else { return 1 }
    return Double(step - start) / Double(steps - start)
  }
}
