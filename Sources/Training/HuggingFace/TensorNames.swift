// How a model folder's tensors lie in the parameters: each is one contiguous piece of one.

import Parallel
import Tensors
import Transformer

/// One tensor of a model folder: a run of consecutive elements of a parameter.
public struct TensorPiece {
  public let name: String
  public let shape: [Int]
  public let parameter: Parameter
  /// Where the piece begins in the parameter, in elements.
  public let first: Int

  public var count: Int { shape.reduce(1, *) }
}

/// The spelling of a folder's names: transformers 5 fuses experts, files on the hub have each apart.
public struct TensorNaming: Sendable, Equatable {
  /// What a layer's mixture is called.
  public var mixture: String
  /// Gate, up and down of one expert.
  public var expertParts: [String]
  /// Whether all experts of a layer are one tensor: gate_up_proj [E, 2I, H], down_proj [E, H, I].
  public var isFused: Bool

  /// As the family's files on the hub.
  public init(_ family: ModelFamily) {
    mixture = family == .mixtral ? "block_sparse_moe" : "mlp"
    expertParts =
      family == .mixtral ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"]
    isFused = false
  }

  /// As these names are spelled.
  public init(_ family: ModelFamily, seenIn names: [String]) {
    self.init(family)
    isFused = names.contains { $0.hasSuffix(".experts.gate_up_proj") }
    if !names.contains(where: { $0.contains(".block_sparse_moe.") }) { mixture = "mlp" }
    if !isFused && !names.contains(where: { $0.hasSuffix(".w1.weight") }) {
      expertParts = ["gate_proj", "up_proj", "down_proj"]
    }
  }

  /// All tensors of a model, parameter by parameter.
  public func pieces(of parameters: ParameterSet) -> [TensorPiece] {
    parameters.parameters.flatMap(pieces(of:))
  }

  private func pieces(of parameter: Parameter) -> [TensorPiece] {
    let name = parameter.name
    let shape = parameter.shape
    func whole(_ name: String, _ shape: [Int]) -> [TensorPiece] {
      [TensorPiece(name: name, shape: shape, parameter: parameter, first: 0)]
    }
    /// `parts` matrices for each of the first dimension's experts.
    func matrices(_ parts: [String], name: (Int, String) -> String) -> [TensorPiece] {
      let matrix = Array(shape.suffix(2))
      let size = matrix.reduce(1, *)
      return (0..<shape[0]).flatMap { expert in
        parts.enumerated().map { index, part in
          TensorPiece(
            name: name(expert, part), shape: matrix, parameter: parameter,
            first: (expert * parts.count + index) * size)
        }
      }
    }
    if let layer = name.prefix(before: ".mlp.gate.weight") {
      return whole("\(layer).\(mixture).gate.weight", shape)
    }
    if let layer = name.prefix(before: ".mlp.experts.gate_up_proj") {
      guard !isFused else {
        return whole(
          "\(layer).\(mixture).experts.gate_up_proj", [shape[0], 2 * shape[2], shape[3]])
      }
      return matrices(Array(expertParts.prefix(2))) {
        "\(layer).\(mixture).experts.\($0).\($1).weight"
      }
    }
    if let layer = name.prefix(before: ".mlp.experts.down_proj") {
      guard !isFused else { return whole("\(layer).\(mixture).experts.down_proj", shape) }
      return matrices([expertParts[2]]) { "\(layer).\(mixture).experts.\($0).\($1).weight" }
    }
    if let layer = name.prefix(before: ".gate_up_proj") {
      return matrices(["gate_proj", "up_proj"]) { _, part in "\(layer).\(part).weight" }
    }
    if let layer = name.prefix(before: ".down_proj") {
      return matrices(["down_proj"]) { _, part in "\(layer).\(part).weight" }
    }
    return whole(name, shape)
  }
}

extension String {
  /// What stands before `suffix`; nil where the string does not end with it.
  fileprivate func prefix(before suffix: String) -> String? {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil
  }
}
