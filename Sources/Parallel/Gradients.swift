// Gradients of a whole model: cleared, summed over ranks, measured.

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

  /// Sums every gradient over the ranks that hold the same slice; each added its own work's share.
  public func reduceGradients(team: ThreadTeam) {
    for parameter in parameters { parameter.slot.zeroIfEmpty() }
    for group in groups {
      group.replicas.sum(group.gradients.flat, team: team)
    }
  }

  /// √(Σ g²) over all parameters, accumulated in Double in the order of declaration.
  public func gradientNorm(team: ThreadTeam) -> Double {
    parameters.reduce(0) { $0 + sumOfSquares($1.gradient.flat, team: team) }.squareRoot()
  }
}
