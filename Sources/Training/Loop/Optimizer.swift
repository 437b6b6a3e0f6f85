// AdamW over a model's parameters: moments, decay, bias correction.

import Kernels
import Parallel
import Tensors

/// AdamW with decoupled decay (Loshchilov & Hutter 2019), bias-corrected.
public final class Optimizer {
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  public var weightDecay: Double
  public var decayed: WeightDecayTargets
  /// Updates made so far.
  public var updates = 0
  public let parameters: ParameterSet
  /// First and second moments, in the order of the parameters.
  public let moments: [(first: Tensor, second: Tensor)]

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
    moments = parameters.parameters.map { parameter in
      let value = parameter.value
      func zeros() -> Tensor {
        Tensor(
          shape: value.shape, precision: value.precision,
          storage: Storage(bytes: value.count * value.precision.bytes))
      }
      return (zeros(), zeros())
    }
  }

  /// One update from the parameters' gradients, each multiplied by `gradientScale` first.
  public func update(learningRate: Double, gradientScale: Double, team: ThreadTeam) {
    updates += 1
    for (parameter, moment) in zip(parameters.parameters, moments) {
      let decays = decayed == .all || parameter.isMatrix
      adamW(
        AdamWStep(
          learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
          weightDecay: decays ? weightDecay : 0, step: updates, gradientScale: gradientScale),
        parameters: parameter.value.flat, gradients: parameter.gradient.flat,
        firstMoments: moment.first.flat, secondMoments: moment.second.flat, team: team)
    }
  }
}
