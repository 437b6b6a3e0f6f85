// A run's whole state as a checkpoint: weights, moments, biases, position, configuration.

import Kernels
import Parallel
import Tensors
import Transformer

/// What a checkpoint says beside its tensors.
public struct RunState: Sendable, Equatable {
  /// Optimiser steps made; batches and random numbers are keyed by it, so it is the data position
  /// and the generator's state as well.
  public var step: Int
  public var seed: Int
  /// Tokens trained on.
  public var tokens: Int
  /// Fingerprints of what must be the same when the run goes on.
  public var corpus: String
  public var tokenizer: String

  public init(step: Int, seed: Int, tokens: Int, corpus: String, tokenizer: String) {
    self.step = step
    self.seed = seed
    self.tokens = tokens
    self.corpus = corpus
    self.tokenizer = tokenizer
  }

  var json: JSON {
    .object(
      JSONObject([
        ("step", .integer(Int64(step))), ("seed", .integer(Int64(seed))),
        ("tokens", .integer(Int64(tokens))), ("corpus", .string(corpus)),
        ("tokenizer", .string(tokenizer)),
      ]))
  }

  init(_ json: JSON, path: String) throws {
    func integer(_ name: String) throws -> Int {
      guard let value = json[name]?.asInteger else {
        throw FileError(path, "has no integer \"\(name)\"")
      }
      return value
    }
    func text(_ name: String) throws -> String {
      guard let value = json[name]?.asString else {
        throw FileError(path, "has no text \"\(name)\"")
      }
      return value
    }
    self.init(
      step: try integer("step"), seed: try integer("seed"), tokens: try integer("tokens"),
      corpus: try text("corpus"), tokenizer: try text("tokenizer"))
  }
}

/// File names within a checkpoint, and the kinds of tensors in it.
public enum CheckpointPart {
  public static let state = "state.json"
  public static let configuration = "configuration.yaml"
  public static let tokenizer = "tokenizer.json"
  public static let model = "model"
  public static let optimizer = "optimizer"
}

/// A tensor of a checkpoint and the memory that it is written from or read into.
private struct StoredTensor {
  let description: TensorDescription
  let memory: UnsafeMutableRawBufferPointer
}

extension LanguageModel {
  /// The parameters, whole and layout-free.
  fileprivate var stored: [StoredTensor] {
    parameters.parameters.map {
      StoredTensor($0.name, $0.value)
    }
  }

  /// Fills parameters and selection biases from a checkpoint. A tensor missing, left over or of
  /// another shape is an error that names it.
  public func load(_ source: TensorSource) throws {
    try stored.load(from: source, alsoNamed: Set(selectionBiases.map(\.name)))
    for bias in selectionBiases {
      var values = [Double](repeating: 0, count: bias.values.count)
      try values.withUnsafeMutableBytes {
        try source.read(bias.name, shape: [bias.values.count], into: $0, as: .float64)
      }
      bias.values = values
    }
  }
}

extension Optimizer {
  fileprivate var stored: [StoredTensor] {
    zip(parameters.parameters, moments).flatMap { parameter, moment in
      [
        StoredTensor("first.\(parameter.name)", moment.first),
        StoredTensor("second.\(parameter.name)", moment.second),
      ]
    }
  }
}

extension Trainer {
  /// Writes a checkpoint; every rank writes its share of the files. Throws `RanksFailed` on all
  /// ranks if one fails, and older checkpoints stay as they are.
  public func save(
    _ state: RunState, configuration: String, tokenizer: [UInt8], to store: CheckpointStore,
    keep: Int
  ) throws {
    let staging = store.begin(step: state.step)
    do {
      try write(state, configuration: configuration, tokenizer: tokenizer, to: staging)
    } catch {
      // Gives a full disk its room back; what cannot be removed now goes with the next save.
      if mesh.world.rank == 0 { try? staging.discard() }
      throw error
    }
    try mesh.world.agreeing {
      if mesh.world.rank == 0 && keep > 0 { try store.keep(last: keep) }
    }
  }

  private func write(
    _ state: RunState, configuration: String, tokenizer: [UInt8], to staging: CheckpointStaging
  ) throws {
    let world = mesh.world
    try world.agreeing { if world.rank == 0 { try staging.prepare() } }
    let own = try world.agreeing {
      var entries: [FileEntry] = []
      entries += try write(
        staging, kind: CheckpointPart.model, model.stored, biases: model.selectionBiases)
      entries += try write(
        staging, kind: CheckpointPart.optimizer, optimizer.stored, biases: [])
      if world.rank == 0 {
        entries.append(
          try staging.write(CheckpointPart.state, Array(state.json.pretty.utf8)))
        entries.append(
          try staging.write(CheckpointPart.configuration, Array(configuration.utf8)))
        entries.append(try staging.write(CheckpointPart.tokenizer, tokenizer))
      }
      return entries
    }
    let all = world.gather(FileEntry.encode(own))
    try world.agreeing {
      if world.rank == 0 { try staging.commit(all.flatMap { try FileEntry.decode($0) }) }
    }
  }

  private func write(
    _ staging: CheckpointStaging, kind: String, _ tensors: [StoredTensor],
    biases: [SelectionBias]
  ) throws -> [FileEntry] {
    let world = mesh.world
    let deal = TensorDeal(
      biases.map { TensorDescription($0.name, .float64, [$0.values.count]) }
        + tensors.map(\.description), kind: kind, writers: world.size)
    var memory: [String: UnsafeMutableRawBufferPointer] = [:]
    for tensor in tensors { memory[tensor.description.name] = tensor.memory }
    // Biases are few and small; their bytes live until the end of this call.
    var copies: [UnsafeMutableRawBufferPointer] = []
    defer { for copy in copies { copy.deallocate() } }
    for bias in biases {
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: bias.values.count * 8, alignment: 8)
      bias.values.withUnsafeBytes { copy.copyMemory(from: $0) }
      copies.append(copy)
      memory[bias.name] = copy
    }
    return try staging.write(deal, writer: world.rank) { tensor, isMine in
      isMine ? UnsafeRawBufferPointer(memory[tensor.name]!) : nil
    }
  }

  /// Fills weights, biases, moments and the update count; every rank checks its share of the files
  /// first, unless the ranks have done so. Throws on all ranks if a file is damaged, and then nothing
  /// has been changed.
  public func load(_ folder: CheckpointFolder, isVerified: Bool = false) throws -> RunState {
    let world = mesh.world
    if !isVerified {
      try world.agreeing { try folder.verify(reader: world.rank, of: world.size) }
    }
    return try world.agreeing { try read(folder) }
  }

  private func read(_ folder: CheckpointFolder) throws -> RunState {
    let statePath = "\(folder.path)/\(CheckpointPart.state)"
    let state = try RunState(
      JSON(parsing: folder.contents(CheckpointPart.state), source: statePath), path: statePath)
    try model.load(folder.tensors(CheckpointPart.model, isVerified: true))
    try optimizer.stored.load(
      from: folder.tensors(CheckpointPart.optimizer, isVerified: true), alsoNamed: [])
    optimizer.updates = state.step
    return state
  }
}

extension StoredTensor {
  init(_ name: String, _ tensor: Tensor) {
    description = TensorDescription(name, ElementType(tensor.precision), tensor.shape)
    memory = UnsafeMutableRawBufferPointer(
      start: tensor.base, count: tensor.count * tensor.precision.bytes)
  }
}

extension [StoredTensor] {
  /// Reads every tensor, after checking that the source has exactly these (and `other`).
  fileprivate func load(from source: TensorSource, alsoNamed other: Set<String>) throws {
    let wanted = Set(map(\.description.name)).union(other)
    let missing = map(\.description.name).filter { source.description(of: $0) == nil }
    let extra = source.names.filter { !wanted.contains($0) }
    guard missing.isEmpty && extra.isEmpty else {
      throw FileError(
        source.path,
        "tensors do not fit the model: "
          + (missing.isEmpty ? "" : "missing \(missing.prefix(4).joined(separator: ", "))")
          + (missing.isEmpty || extra.isEmpty ? "" : "; ")
          + (extra.isEmpty ? "" : "left over \(extra.prefix(4).joined(separator: ", "))"))
    }
    for tensor in self {
      try source.read(
        tensor.description.name, shape: tensor.description.shape, into: tensor.memory,
        as: tensor.description.type == .float32 ? .float32 : .float64)
    }
  }
}
