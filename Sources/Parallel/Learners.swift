// Who learns a model: all ranks, or one of several equal parts of them while the others learn other
// models.

import Kernels

/// The ranks that learn a model, and how the others come by what they learnt.
///
/// Models that learn from the same answers without waiting for each other, a policy and its critic, may
/// each be learnt by a part of the data ranks: gradients are then summed within a part, and neither
/// part waits for the other. All ranks hold all models, and compute with them alike once the values
/// have been handed on. Not for a model that learns alone: half of the ranks would wait.
public struct Learners {
  /// This rank's part as a mesh of its own; where all ranks learn, the whole mesh.
  public let mesh: ProcessMesh
  /// The ranks that stand on one place of each part.
  private let places: Communicator
  /// The part that learns this model.
  private let part: Int

  init(mesh: ProcessMesh, places: Communicator, part: Int) {
    self.mesh = mesh
    self.places = places
    self.part = part
  }

  /// All ranks.
  public init(all mesh: ProcessMesh) {
    self.init(mesh: mesh, places: .alone(), part: 0)
  }

  /// How many models are learnt at once, each by a part of the ranks.
  public var parts: Int { places.size }

  /// Whether this rank is one of them.
  public var areHere: Bool { places.rank == part }

  /// What `body` gives where the model is learnt, nil elsewhere: its collectives are those of the part's mesh,
  /// which the other parts never meet.
  public func learning<Result>(_ body: () throws -> Result) rethrows -> Result? {
    areHere ? try body() : nil
  }

  /// The part that this rank is in.
  var ownPart: Int { places.rank }

  /// Those of the model that is learnt beside this one: the next part, or the same ranks.
  public var beside: Learners {
    Learners(mesh: mesh, places: places, part: (part + 1) % parts)
  }

  /// Where `rank` of the world stands in its part, and whether it learns the model.
  func place(of rank: Int) -> (position: MeshPosition, learns: Bool) {
    let size = mesh.layout.ranks
    return (MeshPosition(mesh.layout, rank: rank % size), rank / size == part)
  }

  /// Gives all parts the rows that the learning part has. Every rank calls it.
  func handOn(_ rows: Matrix) {
    places.allGather(
      areHere ? rows : rows.rows(0, count: 0), into: rows,
      counts: (0..<parts).map { $0 == part ? rows.rows : 0 })
  }

  /// The numbers that the learning part brings; the others bring as many. Every rank calls it.
  public func handOn(_ numbers: [Double]) -> [Double] {
    places.sum(areHere ? numbers : numbers.map { _ in 0 })
  }

  public func handOn(_ numbers: [Int]) -> [Int] {
    places.sum(areHere ? numbers : numbers.map { _ in 0 })
  }
}

extension ProcessMesh {
  /// The ranks that learn the first of so many models that learn beside each other: a part of the data
  /// ranks for each, or all ranks for all, where data ranks and experts cannot be dealt so.
  ///
  /// Every rank calls it alike.
  public func learners(of models: Int) -> Learners {
    guard models > 1, let layout = layout.part(of: models) else { return Learners(all: self) }
    let (part, places) = part(layout)
    return Learners(mesh: part, places: places, part: 0)
  }
}

extension Layout {
  /// Of one of so many equal parts of neighbouring ranks; nil where such a part has no whole set of
  /// experts.
  func part(of count: Int) -> Layout? {
    guard data % count == 0 && expertData % count == 0 else { return nil }
    return try? Layout(
      ranks: ranks / count, tensor: tensor, expert: expert, expertTensor: expertTensor)
  }
}
