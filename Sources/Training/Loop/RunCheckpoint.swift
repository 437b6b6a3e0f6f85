// A run's whole state as a checkpoint: weights, moments, biases, position, configuration.

import Kernels
import Parallel
import Tensors
import Transformer

/// Something that a run learns from.
public struct RunSource: Sendable, Equatable {
  /// The setting that says it: `data.corpus`.
  public let name: String
  public let fingerprint: String

  public init(_ name: String, _ fingerprint: String) {
    self.name = name
    self.fingerprint = fingerprint
  }
}

/// What a checkpoint says beside its tensors.
public struct RunState: Sendable, Equatable {
  /// Optimiser steps made; batches and random numbers are keyed by it, so it is the data position
  /// and the generator's state as well.
  public var step: Int
  public var seed: Int
  /// Tokens trained on.
  public var tokens: Int
  /// Fingerprints of what must be the same when the run goes on: all that is learnt from, together;
  /// empty where that is nothing yet.
  public var corpus: String
  public var tokenizer: String
  /// The parts of `corpus`; none in checkpoints of older builds.
  public var sources: [RunSource] = []
  /// Numbers that a stage carries from step to step, a steered coefficient say.
  public var carried: [Double] = []

  public init(
    step: Int, seed: Int, tokens: Int, corpus: String, tokenizer: String,
    sources: [RunSource] = [], carried: [Double] = []
  ) {
    self.step = step
    self.seed = seed
    self.tokens = tokens
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.sources = sources
    self.carried = carried
  }

  var json: JSON {
    .object(
      JSONObject([
        ("step", .integer(Int64(step))), ("seed", .integer(Int64(seed))),
        ("tokens", .integer(Int64(tokens))), ("corpus", .string(corpus)),
        ("tokenizer", .string(tokenizer)),
        ("sources", .object(JSONObject(sources.map { ($0.name, .string($0.fingerprint)) }))),
        ("carried", .array(carried.map { .number($0) })),
      ]))
  }

  /// Reads state.json; `path` names it in errors.
  package init(_ json: JSON, path: String) throws {
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
      corpus: try text("corpus"), tokenizer: try text("tokenizer"),
      sources: (json["sources"]?.asObject ?? JSONObject()).compactMap { name, value in
        value.asString.map { RunSource(name, $0) }
      },
      carried: (json["carried"]?.asArray ?? []).compactMap(\.asNumber))
  }
}

/// File names within a checkpoint, and the kinds of tensors in it.
public enum CheckpointPart {
  public static let state = "state.json"
  public static let configuration = "configuration.yaml"
  public static let tokenizer = "tokenizer.json"
  public static let model = "model"
  public static let optimizer = "optimizer"
  public static let critic = "critic"
  public static let criticOptimizer = "critic_optimizer"
}

extension LanguageModel {
  /// Fills this rank's slices of the parameters, and the selection biases, from a checkpoint. A tensor
  /// missing, left over or of another shape is an error that names it; `fresh` parameters may be
  /// missing and keep their first values.
  public func load(_ source: TensorSource, fresh: Set<String> = []) throws {
    try parameters.load(source, others: selectionBiases.map(\.name), fresh: fresh)
    for bias in selectionBiases {
      var values = [Double](repeating: 0, count: bias.values.count)
      try values.withUnsafeMutableBytes {
        try source.read(bias.name, shape: [bias.values.count], into: $0, as: .float64)
      }
      bias.values = values
    }
  }
}

extension Trainer {
  /// Writes a checkpoint; every rank writes its share of the files. Throws `RanksFailed` on all
  /// ranks if one fails, and older checkpoints stay as they are.
  ///
  /// Of `source`, a checkpoint whose bytes have been checked, those kinds of tensors are copied that
  /// this trainer has none of: a critic's where there is none here.
  public func save(
    _ state: RunState, configuration: String, tokenizer: [UInt8], to store: CheckpointStore,
    keep: Int, addingFrom source: CheckpointFolder? = nil
  ) throws {
    let staging = store.begin(step: state.step)
    do {
      try write(
        state, configuration: configuration, tokenizer: tokenizer, to: staging, addingFrom: source)
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
    _ state: RunState, configuration: String, tokenizer: [UInt8], to staging: CheckpointStaging,
    addingFrom source: CheckpointFolder?
  ) throws {
    let world = mesh.world
    try world.agreeing { if world.rank == 0 { try staging.prepare() } }
    let tensors = writeTensors(to: staging)
    let own = try world.agreeing {
      var entries = try tensors.get()
      if let source {
        for kind in source.kinds where !kinds.contains(kind) {
          entries += try staging.copy(kind, from: source, writer: world.rank, of: world.size)
        }
      }
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

  /// Of tensors that this trainer writes.
  private var kinds: [String] {
    [CheckpointPart.model, CheckpointPart.optimizer]
      + (critic == nil ? [] : [CheckpointPart.critic, CheckpointPart.criticOptimizer])
  }

  private func writeTensors(to staging: CheckpointStaging) -> Result<[FileEntry], any Error> {
    let own = writeTensors(CheckpointPart.model, CheckpointPart.optimizer, to: staging)
    guard let critic else { return own }
    let others = critic.writeTensors(
      CheckpointPart.critic, CheckpointPart.criticOptimizer, to: staging)
    return own.flatMap { own in others.map { own + $0 } }
  }

  private func writeTensors(
    _ modelKind: String, _ momentKind: String, to staging: CheckpointStaging
  ) -> Result<[FileEntry], any Error> {
    // Biases are few and small; their bytes live until the end of this call.
    let biases = model.selectionBiases.map { bias in
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: bias.values.count * 8, alignment: 8)
      bias.values.withUnsafeBytes { copy.copyMemory(from: $0) }
      return SpreadTensor(
        TensorDescription(bias.name, .float64, [bias.values.count]),
        memory: UnsafeRawBufferPointer(copy))
    }
    defer { for bias in biases { bias.memory.deallocate() } }
    return staging.write(
      optimizer, as: (modelKind, momentKind), replicated: biases, over: mesh.world)
  }

  /// Fills weights, biases, moments and the update count, whatever layout wrote them; every rank
  /// checks its share of the files first, unless the ranks have done so. Throws on all ranks if a file
  /// is damaged, and then nothing has been changed.
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
    try read(folder, CheckpointPart.model, CheckpointPart.optimizer)
    optimizer.updates = state.step * updatesPerStep
    if let critic {
      try critic.read(folder, CheckpointPart.critic, CheckpointPart.criticOptimizer)
      critic.optimizer.updates = state.step * updatesPerStep
    }
    return state
  }

  private func read(
    _ folder: CheckpointFolder, _ modelKind: String, _ momentKind: String
  ) throws {
    try model.load(folder.tensors(modelKind, isVerified: true))
    try optimizer.load(folder.tensors(momentKind, isVerified: true))
  }
}
