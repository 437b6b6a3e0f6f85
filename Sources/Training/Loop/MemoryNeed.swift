// Whether a model can fit into this machine's memory, asked before any of it is taken.

import Kernels
import Parallel
import Transformer

/// A model that is larger than the machine.
public struct MemoryError: Error, CustomStringConvertible {
  public let parameters: Double
  /// Bytes that all ranks of the machine need at least.
  public let needed: Double
  /// Bytes that they may take, and what sets that: "the machine has".
  public let available: Double
  public let source: String
  public let copies: Int
  /// What a command offers besides, such as an option.
  public var offer: String?

  public var description: String {
    func gigabytes(_ bytes: Double) -> String { "\(Figure.fixed(bytes / 1e9, 1)) GB" }
    let ranks = copies == 1 ? "" : " in \(copies) ranks"
    return "the model has \(Figure.count(parameters)) parameters and takes at least "
      + "\(gigabytes(needed)) of memory\(ranks), \(source) \(gigabytes(available)); accepted: "
      + (offer.map { "\($0), " } ?? "")
      + "smaller model.width, model.layers, model.vocabulary or model.router sizes, or more ranks that "
      + "split the model"
  }
}

extension ModelConfiguration {
  /// What the weights are made of, routed experts apart; norms, biases and other small ones are left
  /// out.
  ///
  /// In floating point, since sizes that somebody mistyped overflow integers.
  var approximateParameters: (whole: Double, experts: Double) {
    let width = Double(width)
    let heads = Double(heads) * 2 + Double(keyValueHeads) * 2
    let attention = width * Double(resolvedHeadWidth) * heads
    let expert = 3 * width * Double(router.expertWidth)
    let dense = Double(denseLayers.count)
    let mixtures = Double(layers) - dense
    let whole =
      Double(layers) * attention + dense * 3 * width * Double(denseWidth)
      + mixtures * (Double(router.experts) * width + expert * Double(router.sharedExperts))
      + Double(vocabulary) * width * (tiedEmbedding ? 1 : 2)
    return (whole, mixtures * expert * Double(router.experts))
  }

  /// Throws `MemoryError` if the part of the model that one rank of `layout` holds, times the `copies`
  /// that share this machine, exceeds `memory`.
  ///
  /// `held` numbers a parameter are held by every rank that holds its slice (weights, gradients),
  /// `dealt` are dealt among those (moments).
  public func checkFits(
    held: Int, dealt: Int, precision: Precision, layout: Layout = .single, copies: Int = 1,
    memory: MachineMemory = .available
  ) throws {
    let parameters = approximateParameters
    func numbers(_ count: Double, split: Int, replicas: Int) -> Double {
      count / Double(split) * (Double(held) + Double(dealt) / Double(replicas))
    }
    let own =
      numbers(parameters.whole, split: layout.tensor, replicas: layout.data)
      + numbers(
        parameters.experts, split: layout.expert * layout.expertTensor,
        replicas: layout.expertData)
    let needed = own * Double(precision.bytes * copies)
    // Activations reserve up to the other half of the addresses.
    let addresses = Double(memory.addresses) / 2 * Double(copies)
    let (available, source) =
      addresses < Double(memory.bytes)
      ? (addresses, "half of ulimit -v allows") : (Double(memory.bytes), memory.source)
    guard needed <= available else {
      throw MemoryError(
        parameters: parameters.whole + parameters.experts, needed: needed, available: available,
        source: source, copies: copies)
    }
  }
}
