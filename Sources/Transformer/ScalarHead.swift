// The scalar head: one number for each token beside the logits, a reward or a value.

import Kernels
import Parallel
import Tensors

/// Whether a model has a scalar head, and how its weights begin.
public enum ScalarHead: String, Codable, Sendable, CaseIterable {
  case none
  /// Every token's number is 0 at first.
  case zero
  /// Deviation 1/√(width + 1): numbers of the size of 1 (Stiennon et al. 2020).
  case normal

  /// The head's name among the parameters.
  public static let parameterName = "score.weight"

  func declare(width: Int, in parameters: ParameterSet) -> Parameter? {
    let initial: Initialiser
    switch self {
    case .none: return nil
    case .zero: initial = .constant(0)
    case .normal: initial = .normal(deviation: 1 / Double(width + 1).squareRoot())
    }
    return parameters.declare(Self.parameterName, [1, width], initial)
  }
}

extension LanguageModel {
  /// The head's number for each of these rows of the residual stream [T, H]: [T, 1].
  public func scalars(_ hidden: Variable) -> Variable {
    guard let scalarHead else { fatalError("model.scalarHead is none, and numbers are asked for") }
    return rowStableLinear(hidden, scalarHead.on(hidden.tape))
  }

  /// The head's number for each of these tokens among the batch's outputs, which rise: [tokens, 1], alike
  /// on all ranks of the tensor group.
  public func scores(_ output: Output, ofTokens tokens: [Int]) -> Variable {
    var places = [Int](repeating: -1, count: output.tokens.count)
    for (place, token) in tokens.enumerated() where output.tokens.contains(token) {
      places[token - output.tokens.lowerBound] = place
    }
    return table(scalars(output.hidden), at: places, count: tokens.count)
  }
}
