// The coefficient β of the pull to the reference: fixed, or steered to a target divergence.

/// What a mean divergence is the mean of.
public enum KLUnit: String, Codable, Sendable, CaseIterable {
  /// Sum over an answer's tokens, mean over answers.
  case sequence
  /// Mean over tokens.
  case token
}

/// β, with all that a checkpoint must keep of it.
public struct KLController: Codable, Sendable, Equatable {
  /// How β follows the divergence (Ziegler et al. 2019, §2.2).
  public struct Adaptation: Codable, Sendable, Equatable {
    /// Nats that are aimed at, in `unit`.
    public var target: Double
    public var unit: KLUnit
    /// Answers over which an error of 1 would multiply β by e.
    public var horizon: Double

    public init(target: Double, unit: KLUnit, horizon: Double) {
      self.target = target
      self.unit = unit
      self.horizon = horizon
    }
  }

  public private(set) var coefficient: Double
  /// nil keeps β fixed.
  public let adaptation: Adaptation?

  public init(coefficient: Double, adaptation: Adaptation? = nil) {
    self.coefficient = coefficient
    self.adaptation = adaptation
  }

  /// Throws for settings out of range; `section` is where they were read.
  public func validate(section: String) throws {
    try SettingRangeError.check(
      coefficient >= 0 && coefficient.isFinite, "\(section).klCoefficient", "\(coefficient)",
      "0 or more")
    guard let adaptation else { return }
    try SettingRangeError.check(
      adaptation.target > 0 && adaptation.target.isFinite, "\(section).klTarget",
      "\(adaptation.target)", "a number above 0")
    try SettingRangeError.check(
      adaptation.horizon > 0 && adaptation.horizon.isFinite, "\(section).klHorizon",
      "\(adaptation.horizon)", "a number above 0")
    try SettingRangeError.check(
      coefficient > 0, "\(section).klCoefficient", "\(coefficient) with a target",
      "a number above 0: what is multiplied stays 0")
  }

  /// β ← β · (1 + clip(KL / target − 1, ±0.2) · answers / horizon), from the global mean divergence in
  /// the adaptation's unit; the same on every rank.
  public mutating func update(perSequence: Double, perToken: Double, answers: Int) {
    guard let adaptation else { return }
    let divergence = adaptation.unit == .sequence ? perSequence : perToken
    let error = min(max(divergence / adaptation.target - 1, -0.2), 0.2)
    coefficient *= 1 + error * Double(answers) / adaptation.horizon
  }
}
