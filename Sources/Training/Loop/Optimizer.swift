// AdamW over a model's parameters: moments, decay, bias correction.

import Kernels
import Parallel
import Tensors

/// AdamW with decoupled decay (Loshchilov & Hutter 2019), bias-corrected.
///
/// Moments exist for this rank's share of the parameters alone (ZeRO-1); the update of a share has
/// the bits of that part of an unsplit update.
public final class Optimizer {
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  public var weightDecay: Double
  public var decayed: WeightDecayTargets
  /// Updates made so far.
  public var updates = 0
  public let parameters: ParameterSet
  /// First and second moments of this rank's share, laid as the set's `pieces` say.
  public let firstMoments: Tensor
  public let secondMoments: Tensor

  public init(
    _ parameters: ParameterSet, beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8,
    weightDecay: Double = 0.1, decayed: WeightDecayTargets = .matrices
  ) {
    self.parameters = parameters
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.decayed = decayed
    let precision = parameters.parameters.first?.value.precision ?? .float32
    func zeros() -> Tensor {
      Tensor(
        shape: [parameters.ownCount], precision: precision,
        storage: Storage(bytes: parameters.ownCount * precision.bytes))
    }
    firstMoments = zeros()
    secondMoments = zeros()
  }

  /// One update of this rank's share from its summed gradients, each multiplied by `gradientScale`
  /// first; the others get the new values meanwhile.
  public func update(learningRate: Double, gradientScale: Double, team: ThreadTeam) {
    updates += 1
    parameters.update { piece in
      let decays = decayed == .all || piece.parameter.isMatrix
      let (first, count) = (piece.place.lowerBound, piece.place.count)
      adamW(
        AdamWStep(
          learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
          weightDecay: decays ? weightDecay : 0, step: updates, gradientScale: gradientScale),
        parameters: piece.values, gradients: piece.gradients,
        firstMoments: firstMoments.flat.columns(first, count: count),
        secondMoments: secondMoments.flat.columns(first, count: count), team: team)
    }
  }
}
