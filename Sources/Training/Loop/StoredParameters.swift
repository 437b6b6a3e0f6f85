// Parameters and moments as a checkpoint's tensors: whole in its files, in parts on the ranks.

import Kernels
import Parallel
import Tensors

extension Matrix {
  /// The memory of a matrix without gaps.
  fileprivate var memory: UnsafeMutableRawBufferPointer {
    require(isContiguous, "\(columns) columns \(stride) apart are no file's")
    return UnsafeMutableRawBufferPointer(start: base, count: count * precision.bytes)
  }
}

extension ParameterSet {
  /// One tensor of each parameter's shape, of which every rank has the part that it updates: so all
  /// replicas share the sending, and nothing is sent twice.
  fileprivate func spread(
    _ prefix: String = "", _ memory: (ParameterPiece) -> Matrix
  ) -> [SpreadTensor] {
    var own: [String: Matrix] = [:]
    for piece in pieces { own[piece.parameter.name] = memory(piece) }
    return parameters.map { parameter in
      SpreadTensor(
        TensorDescription(
          prefix + parameter.name, ElementType(parameter.value.precision), parameter.shape),
        memory: UnsafeRawBufferPointer(
          own[parameter.name]?.memory ?? UnsafeMutableRawBufferPointer(start: nil, count: 0)))
    }
  }

  /// Fills every parameter's slice. A tensor missing, left over (unless it is one of `others`) or of
  /// another shape is an error that names it; a `fresh` one that is missing keeps its first values.
  package func load(
    _ source: TensorSource, others: [String] = [], fresh: Set<String> = []
  ) throws {
    let stored = parameters.filter {
      !fresh.contains($0.name) || source.description(of: $0.name) != nil
    }
    try source.checkNames(stored.map(\.name) + others)
    for parameter in stored {
      try source.read(
        parameter.name, SlicePart(of: parameter.shape, slice: parameter.slice),
        into: parameter.value.flat.memory, as: parameter.value.precision)
    }
  }
}

extension Optimizer {
  private static let kinds = ["first.", "second."]

  private func memory(_ kind: String, _ piece: ParameterPiece) -> Matrix {
    (kind == Self.kinds[0] ? firstMoments : secondMoments).flat
      .columns(piece.place.lowerBound, count: piece.place.count)
  }

  /// Fills the moments of this rank's share.
  package func load(_ source: TensorSource) throws {
    let names = parameters.parameters.map(\.name)
    try source.checkNames(Self.kinds.flatMap { kind in names.map { kind + $0 } })
    for kind in Self.kinds {
      for piece in parameters.pieces {
        let moments = memory(kind, piece)
        try source.read(
          kind + piece.parameter.name, piece.part, into: moments.memory, as: moments.precision)
      }
    }
  }
}

extension CheckpointStaging {
  /// Writes every parameter and its moments, and `replicated` tensors, which every rank has whole.
  ///
  /// Every rank calls it alike and gets the entries of its own files. A rank that cannot write meets
  /// all collectives nevertheless; its error waits in the result.
  package func write(
    _ optimizer: Optimizer,
    as kinds: (model: String, moments: String) = (CheckpointPart.model, CheckpointPart.optimizer),
    replicated: [SpreadTensor] = [], over world: Communicator
  ) -> Result<[FileEntry], any Error> {
    let parameters = optimizer.parameters
    let model = write(
      kinds.model, parameters.spread { $0.values }, replicated: replicated, over: world
    ) { parameters.parts(ofRank: $0) }
    let moments = write(
      kinds.moments, optimizer.spreadMoments, replicated: [], over: world
    ) { rank in
      let parts = parameters.parts(ofRank: rank)
      return parts + parts
    }
    return model.flatMap { model in moments.map { model + $0 } }
  }

  private func write(
    _ kind: String, _ tensors: [SpreadTensor], replicated: [SpreadTensor],
    over world: Communicator, parts: (_ rank: Int) -> [SlicePart]
  ) -> Result<[FileEntry], any Error> {
    let all = replicated + tensors
    let deal = TensorDeal(all.map(\.description), kind: kind, writers: world.size)
    let gathering = TensorGathering(all, deal: deal, over: world) { rank in
      zip(replicated, deal.writers).map { tensor, writer in
        // Who writes it has it.
        SlicePart(
          of: tensor.description.shape, slice: tensor.description.shape.map { 0..<$0 },
          elements: writer == rank ? nil : 0..<0)
      } + parts(rank)
    }
    let files = files(of: deal, writer: world.rank)
    var failure: (any Error)?
    gathering.run { block in
      guard failure == nil else { return }
      do { try files.write(block) } catch { failure = error }
    }
    if let failure { return .failure(failure) }
    return Result { try files.finish() }
  }
}

extension Optimizer {
  fileprivate var spreadMoments: [SpreadTensor] {
    Self.kinds.flatMap { kind in parameters.spread(kind) { memory(kind, $0) } }
  }
}

extension TensorSource {
  /// Throws unless the tensors are exactly these.
  fileprivate func checkNames(_ names: [String]) throws {
    let wanted = Set(names)
    let missing = names.filter { description(of: $0) == nil }
    let extra = self.names.filter { !wanted.contains($0) }
    guard missing.isEmpty && extra.isEmpty else {
      throw FileError(
        path,
        "tensors do not fit the model: "
          + (missing.isEmpty ? "" : "missing \(missing.prefix(4).joined(separator: ", "))")
          + (missing.isEmpty || extra.isEmpty ? "" : "; ")
          + (extra.isEmpty ? "" : "left over \(extra.prefix(4).joined(separator: ", "))"))
    }
  }
}
