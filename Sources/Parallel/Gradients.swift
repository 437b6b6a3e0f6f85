// Gradients of a whole model: cleared, summed over ranks, measured; and updates made of them.

import Kernels
import Tensors

extension Tensor {
  /// All elements as one row.
  package var flat: Matrix { matrix(columns: max(count, 1)) }
}

extension ParameterSet {
  /// Makes the next gradients overwrite the old ones.
  public func clearGradients() {
    for parameter in parameters { parameter.slot.clear() }
  }

  /// Writes zeros where no gradient came.
  public func completeGradients() {
    for parameter in parameters { parameter.slot.zeroIfEmpty() }
  }

  /// Sums every gradient over the ranks that hold the same slice; each added its own work's share.
  ///
  /// For whoever looks at gradients; a training step needs `scatterGradients` alone.
  public func reduceGradients(team: ThreadTeam) {
    completeGradients()
    for group in groups { group.replicas.sum(group.gradients.flat, team: team) }
  }

  /// Sums this rank's share of the gradients, all at once; the bits are those of `reduceGradients`.
  public func scatterGradients(team: ThreadTeam) {
    completeGradients()
    for group in groups { group.scatterGradients(team: team) }
  }

  /// Σ g² over this rank's share of the summed gradients.
  ///
  /// Shares divide the model: the sum over the world counts every element once in any layout, and is
  /// the square of the gradient's norm.
  public func sumOfSquaredGradients(team: ThreadTeam) -> Double {
    groups.reduce(0) { $0 + sumOfSquares($1.ownGradients, team: team) }
  }

  /// Plain gradient descent from the summed gradients: every parameter less its gradient times the
  /// rate. Hides no gradient's scale, as Adam does.
  public func descend(learningRate: Double, team: ThreadTeam) {
    update { piece in
      sgd(
        learningRate: learningRate, parameters: piece.values, gradients: piece.gradients, team: team
      )
    }
  }
}
