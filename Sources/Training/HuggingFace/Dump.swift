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
  ///
  /// Every rank of `mesh` calls it with the whole batch; rank 0 writes. Throws on all ranks.
  public func dump(
    _ dumped: DumpBatch, naming: TensorNaming, to path: String, over mesh: ProcessMesh
  ) throws {
    let values = DumpedValues(self, mesh: mesh, sequences: dumped.sequences, length: dumped.length)
    values.run(dumped.micro, naming: naming)
    try mesh.world.agreeing {
      if mesh.world.rank == 0 {
        try values.tensors.withMemory { try SafetensorsWriter.write(path, $0) }
      }
    }
  }
}

/// Every value of one forward and backward pass, whole, on every rank.
private final class DumpedValues {
  private(set) var tensors: [(tensor: TensorDescription, bytes: [UInt8])] = []
  private let model: LanguageModel
  private let mesh: ProcessMesh
  private let data: Communicator
  private let shape: [Int]
  private var device: Device { model.device }

  init(_ model: LanguageModel, mesh: ProcessMesh, sequences: Int, length: Int) {
    self.model = model
    self.mesh = mesh
    data = mesh.communicator(.data)
    shape = [sequences, length]
  }

  func run(_ whole: MicroBatch, naming: TensorNaming) {
    let own = data.ownShare(of: shape[0])
    let micro = whole.sequences(own)
    let batch = micro.batch
    let tokens = batch.tokens.count
    let configuration = model.configuration
    model.parameters.clearGradients()
    let tape = Tape(device)
    let output = model.forward(batch, on: tape) { index, hidden in
      self.keepRows("hidden.\(index)", self.shape + [configuration.width], hidden, tokens: tokens)
    }
    let logits = model.logits(output.hidden, tokens: tokens)
    keep("logits", shape + [configuration.vocabulary], gathered(model.wholeLogits(logits.value)))
    for (layer, routing) in zip(configuration.expertLayers, output.routings) {
      let all = shape[0] * shape[1]
      let k = configuration.router.expertsPerToken
      keepRows(
        "router_logits.\(layer)", [all, configuration.router.experts], routing.logits.value,
        tokens: tokens)
      let rows = routing.weights.value.reshaped([routing.tokens.count, k])
      keepRows("topk_weight.\(layer)", [all, k], rows, tokens: tokens)
      // Small whole numbers travel exactly as floating point.
      let chosen = device.tensor(rows.shape, routing.experts.map(Double.init))
      let experts = gathered(model.wholeRows(chosen, tokens: tokens)).elements.map { Int64($0) }
      tensors.append(
        (
          TensorDescription("topk_index.\(layer)", .int64, [all, k]),
          experts.withUnsafeBytes { Array($0) }
        ))
    }
    let counts = model.counts(output, labels: micro.labels, batch).summed(over: mesh.world)
    let objective = model.objective(
      output, labels: micro.labels, batch, counts: counts, logits: logits)
    let scalars = mesh.world.sum([
      objective.taskLoss, objective.balance, objective.total.value.scalar,
    ])
    for (name, value) in zip(["loss", "aux_loss", "total_loss"], scalars) {
      keep(name, [1], device.tensor([1], [value]))
    }
    tape.backward(from: [objective.total])
    model.parameters.reduceGradients(team: device.team)
    keepGradients(naming)
  }

  private func keepGradients(_ naming: TensorNaming) {
    let pieces = naming.pieces(of: model.parameters)
    for parameter in model.parameters.parameters {
      let gradient = model.parameters.whole(parameter, parameter.gradient, on: device, mesh)
      for piece in pieces where piece.parameter === parameter {
        tensors.append(
          (
            TensorDescription("grad.\(piece.name)", ElementType(device.precision), piece.shape),
            Array(piece.memory(of: gradient))
          ))
      }
    }
  }

  /// Rows that the tensor group shares, and the data ranks one after another.
  private func keepRows(_ name: String, _ shape: [Int], _ rows: Tensor, tokens: Int) {
    keep(name, shape, gathered(model.wholeRows(rows, tokens: tokens)))
  }

  /// The rows of all data ranks.
  private func gathered(_ rows: Tensor) -> Tensor {
    let counts = data.shares(of: shape[0]).map { $0 * shape[1] }
    return data.allGather(rows, counts: counts, on: device)
  }

  private func keep(_ name: String, _ shape: [Int], _ tensor: Tensor) {
    tensors.append((TensorDescription(name, ElementType(device.precision), shape), tensor.bytes))
  }
}

extension MicroBatch {
  /// Some of the sequences.
  func sequences(_ range: Range<Int>) -> MicroBatch {
    let places = range.lowerBound * batch.length..<range.upperBound * batch.length
    var part = Batch(
      tokens: Array(batch.tokens[places]), sequences: range.count, length: batch.length,
      mask: batch.mask.map { Array($0[places]) })
    part.positions = Array(batch.positions[places])
    part.firstKey = batch.firstKey.map { Array($0[places]) }
    return MicroBatch(part, labels: Array(labels[places]))
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
