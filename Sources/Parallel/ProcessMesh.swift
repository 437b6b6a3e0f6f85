// The ranks of a run as two grids, with a communicator for every group that the model needs.

import Kernels

/// The world divided by a layout: attention's grid and the experts' grid over the same ranks.
public final class ProcessMesh: CustomStringConvertible {
  public let world: Communicator
  public let position: MeshPosition
  public var layout: Layout { position.layout }
  /// All groups so far, in the order of their making; a group is known by who is in it.
  private var groups: [(keys: [Int], communicator: Communicator)] = []
  /// Meshes of a part of the ranks that this rank is in.
  private var parts: [ProcessMesh] = []

  /// Divides `world`; every rank calls it alike. Until then the world cannot say its coordinates.
  public convenience init(_ world: Communicator, layout: Layout) {
    self.init(ranks: world, layout)
    world.speaker = position.description
    for axis in MeshAxis.allCases { _ = communicator(axis) }
  }

  private init(ranks world: Communicator, _ layout: Layout) {
    require(layout.ranks == world.size, "\(layout) on \(world.size) ranks")
    self.world = world
    position = MeshPosition(layout, rank: world.rank)
    groups.append(([Int](repeating: 0, count: world.size), world))
  }

  /// One rank without MPI.
  public static func single() -> ProcessMesh { ProcessMesh(.alone(), layout: .single) }

  /// The ranks that differ from this one only on `axis`, in the order of their coordinates.
  public func communicator(_ axis: MeshAxis) -> Communicator {
    let others = MeshAxis.grids.first { $0.contains(axis) }!.filter { $0 != axis }
    return group(name: axis.rawValue) { position in others.map { position.coordinate($0) } }
  }

  /// The ranks that hold the same slice of an array placed so.
  ///
  /// The first call for a placement forms the group: every rank makes the same calls in the same
  /// order. The same ranks are the same object.
  public func replicas(of placement: Placement) -> Communicator {
    let axes = placement.splits.map(\.axis.rawValue).joined(separator: ", ")
    return group(name: "replicas over \(axes)") { placement.replicaKey(at: $0) }
  }

  /// The ranks that differ from this one only on these axes of one grid, slowest axis first.
  public func communicator(over axes: [MeshAxis]) -> Communicator {
    let grid = MeshAxis.grids.first { grid in axes.allSatisfy(grid.contains) }
    require(grid != nil, "\(axes) are not of one grid")
    let others = grid!.filter { !axes.contains($0) }
    return group(name: axes.map(\.rawValue).joined(separator: " × ")) { position in
      others.map { position.coordinate($0) }
    }
  }

  /// The ranks along the one axis of `placement` that hold the same slice as this one.
  public func sharers(of placement: Placement) -> Communicator {
    let axis = onlyAxis(of: placement)
    let others = MeshAxis.grids.first { $0.contains(axis) }!.filter { $0 != axis }
    return group(name: "\(axis.rawValue) sharers") { position in
      others.map { position.coordinate($0) } + placement.replicaKey(at: position)
    }
  }

  /// The ranks along the one axis of `placement` that together hold all of it once, each of them the
  /// same number among its sharers.
  public func partners(of placement: Placement) -> Communicator {
    let axis = onlyAxis(of: placement)
    let others = MeshAxis.grids.first { $0.contains(axis) }!.filter { $0 != axis }
    return group(name: "\(axis.rawValue) partners") { position in
      others.map { position.coordinate($0) } + [placement.numberAmongSharers(at: position)]
    }
  }

  private func onlyAxis(of placement: Placement) -> MeshAxis {
    require(placement.splits.count == 1, "\(placement.splits.count) splits, 1 is wanted")
    return placement.splits[0].axis
  }

  public func size(_ axis: MeshAxis) -> Int { layout[axis] }

  /// `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1`
  public var description: String { position.description }

  /// Every communicator, for accounting: the world first.
  public var communicators: [Communicator] {
    // A part's world is a group of this mesh.
    groups.map(\.communicator) + parts.flatMap { $0.communicators.dropFirst() }
  }

  /// The ranks divided into parts of neighbours, each of this layout: this rank's as a mesh of its own,
  /// whose ranks speak as those of the whole, and the ranks that stand on its place in each part.
  func part(_ layout: Layout) -> (mesh: ProcessMesh, places: Communicator) {
    let size = layout.ranks
    let own = group(name: "learners") { [$0.rank / size] }
    let places = group(name: "places") { [$0.rank % size] }
    let mesh = ProcessMesh(ranks: own, layout)
    parts.append(mesh)
    return (mesh, places)
  }

  /// The group of ranks that have the same key. All ranks compute all keys, so that they agree on
  /// what is new without asking.
  private func group(name: String, key: (MeshPosition) -> [Int]) -> Communicator {
    var numbers: [[Int]: Int] = [:]
    let keys = (0..<world.size).map { rank in
      let key = key(MeshPosition(layout, rank: rank))
      return numbers[key, default: numbers.count, insert: true]
    }
    if let known = groups.first(where: { $0.keys == keys }) { return known.communicator }
    let communicator = world.split(color: keys[world.rank], name: name)
    groups.append((keys, communicator))
    return communicator
  }
}

extension [[Int]: Int] {
  /// The value of `key`, which gets the default and keeps it when it is new.
  fileprivate subscript(key: [Int], default value: Int, insert insert: Bool) -> Int {
    mutating get {
      if let known = self[key] { return known }
      self[key] = value
      return value
    }
  }
}
