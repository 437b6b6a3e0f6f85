// Direct preference optimisation and its variants: losses of pairs of sequence log-probabilities.

import Kernels
import Tensors

/// A number for each pair's chosen and rejected completion.
public struct Paired<Value: Sendable>: Sendable {
  public var chosen: [Value]
  public var rejected: [Value]

  public init(chosen: [Value], rejected: [Value]) {
    require(
      chosen.count == rejected.count, "\(chosen.count) chosen, \(rejected.count) rejected")
    self.chosen = chosen
    self.rejected = rejected
  }

  public var count: Int { chosen.count }
}

/// Which function of the log-ratios. Below, c and r are ln π/π_ref of the chosen and the rejected
/// completion, Δ = c − r, ε is the label smoothing and σ the logistic function.
public enum PreferenceLossKind: String, Codable, Sendable, CaseIterable {
  /// −(1−ε) ln σ(βΔ) − ε ln σ(−βΔ): DPO (Rafailov et al. 2023), with ε > 0 conservative DPO
  /// (Mitchell 2023).
  case sigmoid
  /// [−(1−ε) ln σ(βΔ) + ε ln σ(−βΔ)] / (1−2ε): unbiased under labels that are wrong with
  /// probability ε (Chowdhury et al. 2024).
  case robust
  /// max(0, 1 − βΔ): SLiC's hinge (Zhao et al. 2023).
  case hinge
  /// (Δ − 1/2β)² (Azar et al. 2023).
  case ipo
  /// σ(−βc) + σ(βr): for chosen completions that are better than the policy's (D'Oosterlinck et
  /// al. 2024).
  case apoZero = "apo-zero"
  /// −ln σ(βc) − ½ ln σ(−βc) − ½ ln σ(−βr) (Chen et al. 2024).
  case ncaPair = "nca-pair"

  /// Whether ε has a meaning.
  public var smoothsLabels: Bool { self == .sigmoid || self == .robust }
}

/// What a log-ratio is divided by before the loss.
public enum LogRatioScale: String, Codable, Sendable, CaseIterable {
  /// Nothing: sums over the completion's tokens, as in the papers.
  case sequence
  /// The completion's number of tokens: TRL's IPO, and its `sigmoid_norm` (Lambert et al. 2024).
  case token
}

/// A preference loss with its settings.
public struct PreferenceLoss: Codable, Sendable, Equatable {
  public var kind = PreferenceLossKind.sigmoid
  /// Strength of the pull to the reference.
  public var beta = 0.1
  /// Share of labels that are taken to be wrong.
  public var labelSmoothing = 0.0
  public var scale = LogRatioScale.sequence

  public init(
    _ kind: PreferenceLossKind = .sigmoid, beta: Double = 0.1, labelSmoothing: Double = 0,
    scale: LogRatioScale = .sequence
  ) {
    self.kind = kind
    self.beta = beta
    self.labelSmoothing = labelSmoothing
    self.scale = scale
  }

  /// Throws for settings out of range; `section` is where they were read.
  public func validate(section: String) throws {
    try SettingRangeError.check(
      beta > 0 && beta.isFinite, "\(section).beta", "\(beta)", "a number above 0")
    try SettingRangeError.check(
      (0..<0.5).contains(labelSmoothing), "\(section).labelSmoothing", "\(labelSmoothing)",
      "0 to below 0.5")
    try SettingRangeError.check(
      labelSmoothing == 0 || kind.smoothsLabels, "\(section).labelSmoothing",
      "\(labelSmoothing) with \(section).kind \(kind.rawValue), which has no smoothed labels",
      "0, or kind sigmoid or robust")
  }

  /// A pair's loss and its derivatives by the scaled log-ratios c and r.
  private func pair(_ c: Double, _ r: Double) -> (loss: Double, dc: Double, dr: Double) {
    let x = beta * (c - r)
    let smoothing = labelSmoothing
    func ofDifference(_ loss: Double, _ dx: Double) -> (Double, Double, Double) {
      (loss, beta * dx, -beta * dx)
    }
    let softplus = Logistic.softplus
    let sigmoid = Logistic.sigmoid
    switch kind {
    case .sigmoid:
      return ofDifference(
        (1 - smoothing) * softplus(-x) + smoothing * softplus(x),
        -(1 - smoothing) * sigmoid(-x) + smoothing * sigmoid(x))
    case .robust:
      let norm = 1 - 2 * smoothing
      return ofDifference(
        ((1 - smoothing) * softplus(-x) - smoothing * softplus(x)) / norm,
        -((1 - smoothing) * sigmoid(-x) + smoothing * sigmoid(x)) / norm)
    case .hinge:
      return ofDifference(max(0, 1 - x), x < 1 ? -1 : 0)
    case .ipo:
      let gap = c - r - 1 / (2 * beta)
      return (gap * gap, 2 * gap, -2 * gap)
    case .apoZero:
      let (pc, pr) = (sigmoid(beta * c), sigmoid(beta * r))
      let (qc, qr) = (sigmoid(-beta * c), sigmoid(-beta * r))
      return (qc + pr, -beta * pc * qc, beta * pr * qr)
    case .ncaPair:
      let (u, v) = (beta * c, beta * r)
      return (
        softplus(-u) + 0.5 * softplus(u) + 0.5 * softplus(v),
        beta * (0.5 * sigmoid(u) - sigmoid(-u)), 0.5 * beta * sigmoid(v)
      )
    }
  }

  /// Each pair's loss, derivatives and implicit rewards.
  ///
  /// Log-probabilities are sums over the completion's tokens with its end. Without a `reference` its
  /// log-probabilities count as 0 (reference-free). `lengths` are the completions' tokens, needed
  /// where log-ratios are scaled by token.
  public func evaluate(
    _ policy: Paired<Double>, reference: Paired<Double>?, lengths: Paired<Int>?
  ) -> PreferenceEvaluation {
    let count = policy.count
    require(reference.map { $0.count == count } ?? true, "reference of other than \(count) pairs")
    require(lengths.map { $0.count == count } ?? true, "lengths of other than \(count) pairs")
    require(scale == .sequence || lengths != nil, "log-ratios by token need lengths")
    var result = PreferenceEvaluation(pairs: count)
    for i in 0..<count {
      let c = policy.chosen[i] - (reference?.chosen[i] ?? 0)
      let r = policy.rejected[i] - (reference?.rejected[i] ?? 0)
      let chosenScale = scale == .token ? 1 / Double(max(lengths!.chosen[i], 1)) : 1
      let rejectedScale = scale == .token ? 1 / Double(max(lengths!.rejected[i], 1)) : 1
      let (loss, dc, dr) = pair(c * chosenScale, r * rejectedScale)
      result.losses[i] = loss
      result.gradient.chosen[i] = dc * chosenScale
      result.gradient.rejected[i] = dr * rejectedScale
      result.rewards.chosen[i] = beta * c
      result.rewards.rejected[i] = beta * r
    }
    return result
  }
}

/// What a preference loss is for each pair.
public struct PreferenceEvaluation: Sendable {
  public fileprivate(set) var losses: [Double]
  /// Of each pair's own loss by its sequence log-probabilities.
  public fileprivate(set) var gradient: Paired<Double>
  /// β ln π/π_ref of the whole sequence, whatever the loss divides by.
  public fileprivate(set) var rewards: Paired<Double>

  fileprivate init(pairs: Int) {
    losses = Array(repeating: 0, count: pairs)
    gradient = Paired(chosen: losses, rejected: losses)
    rewards = gradient
  }

  /// Σ losses / `globalPairs` on the tape of the log-probabilities ([pairs, 1] each) that were
  /// evaluated.
  public func loss(chosen: Variable, rejected: Variable, globalPairs: Int) -> Variable {
    let norm = 1 / Double(max(globalPairs, 1))
    return scalar(
      losses.reduce(0, +) * norm,
      from: [
        (chosen, gradient.chosen.map { $0 * norm }),
        (rejected, gradient.rejected.map { $0 * norm }),
      ])
  }
}
