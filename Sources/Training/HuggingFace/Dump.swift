// What a model computes on one batch, in full: logits, losses, hidden states, routers, gradients.

import Kernels
import Parallel
import Tensors
import Transformer

/// A batch file's input_ids, labels and attention_mask.
public struct DumpBatch: Sendable {
  public let sequences: Int
  public let length: Int
  public let micro: MicroBatch

  /// Reads a safetensors file. Throws `FileError` for anything missing or out of range.
  public init(file path: String, vocabulary: Int) throws {
    let source = try TensorSource(file: path)
    func matrix(_ name: String, shape: [Int]?) throws -> [Int] {
      guard let tensor = source.description(of: name) else {
        throw FileError(path, "has no tensor \"\(name)\"")
      }
      guard tensor.shape.count == 2, shape == nil || tensor.shape == shape else {
        throw FileError(
          path,
          "tensor \"\(name)\" has shape \(tensor.shape); "
            + "\(shape.map { "\($0)" } ?? "[sequences, length]") is wanted")
      }
      return try source.integers(name)
    }
    let ids = try matrix("input_ids", shape: nil)
    let shape = source.description(of: "input_ids")!.shape
    guard shape[0] > 0, shape[1] > 0 else {
      throw FileError(path, "tensor \"input_ids\" has shape \(shape); no dimension may be 0")
    }
    let labels = try matrix("labels", shape: shape)
    for (name, values) in [("input_ids", ids), ("labels", labels)] {
      for (index, value) in values.enumerated()
      where !(0..<vocabulary).contains(value) && !(name == "labels" && value == -100) {
        throw FileError(
          path,
          "\(name)[\(index / shape[1]), \(index % shape[1])] is \(value); "
            + "accepted: 0 to \(vocabulary - 1)\(name == "labels" ? ", or -100" : "")")
      }
    }
    sequences = shape[0]
    length = shape[1]
    var mask: [Bool]?
    if source.description(of: "attention_mask") != nil {
      let values = try matrix("attention_mask", shape: shape)
      guard values.allSatisfy({ $0 == 0 || $0 == 1 }) else {
        throw FileError(path, "attention_mask holds other values than 0 and 1")
      }
      mask = values.map { $0 == 1 }
    }
    var batch = Batch(tokens: ids.map(Int32.init), sequences: shape[0], mask: mask)
    if let mask { batch.firstKey = try firstKeys(mask, length: shape[1], path: path) }
    // Position t predicts label t + 1.
    let shifted = labels.indices.map { index in
      (index + 1) % shape[1] == 0 ? -100 : Int32(labels[index + 1])
    }
    micro = MicroBatch(batch, labels: shifted)
  }
}

/// The first real token of each sequence, for every token of it; padding only at the ends.
private func firstKeys(_ mask: [Bool], length: Int, path: String) throws -> [Int32] {
  var keys: [Int32] = []
  for start in stride(from: 0, to: mask.count, by: length) {
    let row = mask[start..<start + length]
    let first = row.firstIndex(of: true).map { $0 - start } ?? 0
    let last = row.lastIndex(of: true).map { $0 - start } ?? -1
    guard last < first || row[(start + first)...(start + last)].allSatisfy({ $0 }) else {
      throw FileError(
        path,
        "attention_mask row \(start / length) has zeros between ones; padding is accepted "
          + "at the ends of a row only")
    }
    keys += Array(repeating: Int32(first), count: length)
  }
  return keys
}

extension LanguageModel {
  /// Runs forward and backward on the batch and writes every value under the names that model
  /// files have: logits, loss, aux_loss, total_loss, hidden.i, router_logits.l, topk_index.l,
  /// topk_weight.l, grad.<tensor>.
  public func dump(_ dumped: DumpBatch, naming: TensorNaming, to path: String) throws {
    let batch = dumped.micro.batch
    let shape = [dumped.sequences, dumped.length]
    let type = ElementType(device.precision)
    var tensors: [(tensor: TensorDescription, bytes: [UInt8])] = []
    func keep(_ name: String, _ shape: [Int], _ tensor: Tensor) {
      tensors.append((TensorDescription(name, type, shape), tensor.bytes))
    }
    let tape = Tape(device)
    parameters.clearGradients()
    let width = configuration.width
    let output = forward(batch, on: tape) { index, hidden in
      keep("hidden.\(index)", shape + [width], hidden)
    }
    let logits = self.logits(output.hidden, tokens: batch.tokens.count)
    keep("logits", shape + [configuration.vocabulary], logits.value)
    for (layer, routing) in zip(configuration.expertLayers, output.routings) {
      keep("router_logits.\(layer)", routing.logits.shape, routing.logits.value)
      let choices = [batch.tokens.count, configuration.router.expertsPerToken]
      keep("topk_weight.\(layer)", choices, routing.weights.value)
      tensors.append(
        (
          TensorDescription("topk_index.\(layer)", .int64, choices),
          routing.experts.map(Int64.init).withUnsafeBytes { Array($0) }
        ))
    }
    let counts = self.counts(output, labels: dumped.micro.labels, batch)
    let objective = self.objective(
      output, labels: dumped.micro.labels, batch, counts: counts, logits: logits)
    let scalars = [
      ("loss", objective.tokenLoss), ("aux_loss", objective.balance),
      ("total_loss", objective.total.value.scalar),
    ]
    for (name, value) in scalars { keep(name, [1], device.tensor([1], [value])) }
    tape.backward(from: [objective.total])
    for parameter in parameters.parameters { parameter.slot.zeroIfEmpty() }
    for piece in naming.pieces(of: parameters) {
      tensors.append(
        (
          TensorDescription("grad.\(piece.name)", type, piece.shape),
          Array(piece.memory(of: piece.parameter.gradient))
        ))
    }
    try tensors.withMemory { try SafetensorsWriter.write(path, $0) }
  }
}

extension Tensor {
  /// The elements' bytes.
  fileprivate var bytes: [UInt8] {
    Array(UnsafeRawBufferPointer(start: base, count: count * precision.bytes))
  }
}

extension [(tensor: TensorDescription, bytes: [UInt8])] {
  /// Calls `body` with pointers to all the bytes.
  fileprivate func withMemory<Result>(
    _ body: ([(tensor: TensorDescription, bytes: UnsafeRawBufferPointer)]) throws -> Result
  ) rethrows -> Result {
    let total = reduce(0) { $0 + $1.bytes.count }
    var whole: [UInt8] = []
    whole.reserveCapacity(total)
    for (_, bytes) in self { whole += bytes }
    return try whole.withUnsafeBytes { memory in
      var start = 0
      return try body(
        map { tensor, bytes in
          defer { start += bytes.count }
          return (tensor, UnsafeRawBufferPointer(rebasing: memory[start..<start + bytes.count]))
        })
    }
  }
}
