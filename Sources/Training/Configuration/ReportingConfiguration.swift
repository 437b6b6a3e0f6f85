// The sections of a run that do not change what is learnt: evaluation, samples, checkpoints, screen.

/// Parts of a corpus that are not trained on.
public enum EvaluationPart: String, Codable, Sendable, CaseIterable {
  /// The ninth tenth: to choose settings on.
  case validation
  /// The last tenth: to report.
  case heldOut = "held-out"
}

/// Loss on text that is not trained on.
public struct EvaluationConfiguration: ConfigurationSection {
  /// Steps between evaluations; 0 evaluates at the end only.
  public var every = 250
  public var part = EvaluationPart.heldOut
  /// Non-overlapping sequences that are evaluated; 0 is all of the part.
  public var windows = 0

  public init() {}

  public static let meanings: [String: String] = [
    "every": "steps between evaluations; 0 is at the end only",
    "part": "validation (the ninth tenth) or held-out (the last)",
    "windows": "sequences that are evaluated; 0 is all of the part",
  ]
}

/// Text written while training.
public struct SampleConfiguration: ConfigurationSection {
  /// Steps between samples; 0 samples at the end only.
  public var every = 250
  public var prompt = "In the beginning"
  /// Tokens after the prompt; 0 writes no samples.
  public var tokens = 64
  /// Divides the logits; 0 takes the likeliest token.
  public var temperature = 0.8
  public var topP = 0.95

  public init() {}

  public static let meanings: [String: String] = [
    "every": "steps between samples; 0 is at the end only",
    "prompt": "text that samples continue",
    "tokens": "tokens after the prompt; 0 writes no samples",
    "temperature": "divides the logits; 0 takes the likeliest token",
    "topP": "samples among the likeliest tokens that together have this probability",
  ]
}

/// What is saved and kept.
public struct CheckpointConfiguration: ConfigurationSection {
  /// Steps between checkpoints; 0 saves at the end only.
  public var every = 500
  /// Checkpoints kept, the newest; 0 keeps all.
  public var keep = 2

  public init() {}

  public static let meanings: [String: String] = [
    "every": "steps between checkpoints; 0 is at the end only",
    "keep": "newest checkpoints that are kept; 0 keeps all",
  ]
}

/// What is shown.
public struct DisplayConfiguration: ConfigurationSection {
  /// Steps between lines.
  public var every = 10
  /// Steps between tables of the router; 0 shows none.
  public var routerEvery = 250

  public init() {}

  public static let meanings: [String: String] = [
    "every": "steps between lines",
    "routerEvery": "steps between tables of the router; 0 shows none",
  ]
}
