// The sections of a run that say how the model is trained: steps, optimiser, schedule.

/// Which activations are computed a second time in backward instead of being kept.
public enum Recomputation: String, Codable, Sendable, CaseIterable {
  /// Keep all.
  case none
  /// Keep each block's input, compute the rest again.
  case block
}

/// Steps and batches.
public struct TrainingConfiguration: ConfigurationSection {
  /// Optimiser steps of the whole run.
  public var steps = 1000
  /// Sequences of one optimiser step, over all ranks.
  public var batch = 16
  /// Sequences that one rank puts through the model at a time; 0 takes all of its share.
  public var microBatch = 0
  public var recompute = Recomputation.none

  /// More than anybody waits for; numbers of samples stay within an Int.
  static let mostSteps = 1_000_000_000

  public init() {}

  public static let meanings: [String: String] = [
    "steps": "optimiser steps of the whole run",
    "batch": "sequences of one optimiser step, over all ranks",
    "microBatch": "sequences that a rank puts through the model at a time; 0 is all of its share",
    "recompute": "keep all activations, or compute each block's again in backward",
  ]
}

/// Which parameters weight decay acts on.
public enum WeightDecayTargets: String, Codable, Sendable, CaseIterable {
  /// Parameters of two and more dimensions: no norms, no biases.
  case matrices
  case all
}

/// AdamW (Loshchilov & Hutter 2019): decoupled weight decay.
public struct OptimizerConfiguration: ConfigurationSection {
  /// Peak of the schedule.
  public var learningRate = 1e-3
  /// Decay of the mean gradient.
  public var beta1 = 0.9
  /// Decay of the mean squared gradient.
  public var beta2 = 0.95
  public var epsilon = 1e-8
  public var weightDecay = 0.1
  public var decay = WeightDecayTargets.matrices
  /// Largest global gradient norm; 0 does not clip.
  public var clip = 1.0

  public init() {}

  public static let meanings: [String: String] = [
    "learningRate": "peak of the schedule",
    "beta1": "decay of the mean gradient",
    "beta2": "decay of the mean squared gradient",
    "epsilon": "added to the root of the mean squared gradient",
    "weightDecay": "decoupled: weights shrink by learning rate x this",
    "decay": "parameters that decay: matrices (no norms, no biases) or all",
    "clip": "largest gradient norm over all parameters; 0 does not clip",
  ]
}

/// The shape of the learning rate over the steps; formulas in `LearningRateSchedule`.
public enum ScheduleKind: String, Codable, Sendable, CaseIterable {
  case constant, cosine, linear
  case warmupStableDecay = "warmup-stable-decay"
}

/// Learning rate over the steps.
public struct ScheduleConfiguration: ConfigurationSection {
  public var kind = ScheduleKind.cosine
  /// Steps before the peak, in every kind.
  public var warmup = 100
  /// Fraction of all steps in which warmup-stable-decay falls.
  public var decay = 0.2
  /// Fraction of the peak at the end.
  public var final = 0.1

  public init() {}

  public static let meanings: [String: String] = [
    "kind": "shape after the warm-up",
    "warmup": "steps before the peak, in every kind",
    "decay": "fraction of all steps in which warmup-stable-decay falls",
    "final": "fraction of the peak at the end; constant stays at the peak",
  ]
}
