// Whether a model can fit into this machine's memory, asked before any of it is taken.

import Kernels
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

  public var description: String {
    func gigabytes(_ bytes: Double) -> String { "\(Figure.fixed(bytes / 1e9, 1)) GB" }
    let ranks = copies == 1 ? "" : " in \(copies) ranks"
    return "the model has \(Figure.count(parameters)) parameters and takes at least "
      + "\(gigabytes(needed)) of memory\(ranks), \(source) \(gigabytes(available)); accepted: "
      + "smaller model.width, model.layers, model.vocabulary or model.router sizes"
  }
}

extension ModelConfiguration {
  /// What the weights are made of; norms, biases and other small ones are left out.
  ///
  /// In floating point, since sizes that somebody mistyped overflow integers.
  var approximateParameters: Double {
    let width = Double(width)
    let heads = Double(heads) * 2 + Double(keyValueHeads) * 2
    let attention = width * Double(resolvedHeadWidth) * heads
    let expert = 3 * width * Double(router.expertWidth)
    let mixture =
      Double(router.experts) * width + expert
      * (Double(router.experts) + Double(router.sharedExperts))
    let dense = Double(denseLayers.count)
    return Double(layers) * attention + (Double(layers) - dense) * mixture
      + dense * 3 * width * Double(denseWidth)
      + Double(vocabulary) * width * (tiedEmbedding ? 1 : 2)
  }

  /// Throws `MemoryError` if `copies` of the model, each with so many numbers a parameter, exceed
  /// `memory`. Training keeps four: weight, gradient and two moments.
  public func checkFits(
    numbersPerParameter: Int, precision: Precision, copies: Int = 1,
    memory: MachineMemory = .available
  ) throws {
    let parameters = approximateParameters
    let needed = parameters * Double(numbersPerParameter * precision.bytes * copies)
    // Activations reserve up to the other half of the addresses.
    let addresses = Double(memory.addresses) / 2 * Double(copies)
    let (available, source) =
      addresses < Double(memory.bytes)
      ? (addresses, "half of ulimit -v allows") : (Double(memory.bytes), memory.source)
    guard needed <= available else {
      throw MemoryError(
        parameters: parameters, needed: needed, available: available, source: source,
        copies: copies)
    }
  }
}
