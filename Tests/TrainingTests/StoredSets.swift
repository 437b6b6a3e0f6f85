// Test support: a set of parameters placed in every way, with an optimiser, without a model.

import Kernels
import Parallel
import Tensors
import Training

/// Parameters under every kind of placement, some larger than what is gathered or read at once.
struct StoredSet {
  static let declarations: [(name: String, shape: [Int], placement: Placement)] = [
    ("norm", [37], .whole),
    ("table", [1031, 300], .split(0, over: .tensor)),
    ("output", [301, 1100], .split(1, over: .tensor)),
    ("heads", [10, 7], .split(0, over: .tensor, parts: 2)),
    ("router", [8, 29], .whole),
    ("experts up", [8, 9, 50], .split(0, over: .expert).split(1, over: .expertTensor)),
    ("experts down", [8, 50, 9], .split(0, over: .expert).split(2, over: .expertTensor)),
    ("shared", [70, 71], .whole),
  ]

  let parameters = ParameterSet()
  let optimizer: Optimizer
  let mesh: ProcessMesh

  init(on mesh: ProcessMesh, precision: Precision, seed: UInt64) {
    self.mesh = mesh
    for (name, shape, placement) in Self.declarations {
      _ = parameters.declare(name, shape, .normal(deviation: 1), placement: placement)
    }
    parameters.allocate(on: try! Device(precision: precision, threads: 1), mesh: mesh, seed: seed)
    optimizer = Optimizer(parameters)
  }

  /// Layouts of so many ranks that can split these.
  static func layouts(ranks: Int) -> [Layout] {
    Layout.all(ranks: ranks).filter { $0.tensor <= 2 || $0.tensor % 2 == 0 }
  }

  /// The elements of the whole array that a part has.
  static func elements(of part: SlicePart) -> [Int] {
    var elements: [Int] = []
    part.forEachRun(0..<part.count) { _, whole, count in elements += whole..<whole + count }
    return elements
  }

  /// The elements of the whole array in a parameter's slice here.
  static func elements(of parameter: Parameter) -> [Int] {
    elements(of: SlicePart(of: parameter.shape, slice: parameter.slice))
  }

  /// A value for each element of each stored tensor; all differ, and single precision holds them.
  static func made(_ kind: Int, _ index: Int, _ element: Int) -> Double {
    Double((kind * 8 + index) * 400_000 + element + 1)
  }

  /// Sets values and moments to what `made` says.
  func fill() {
    for (index, parameter) in parameters.parameters.enumerated() {
      parameter.value.assign(
        Self.elements(of: parameter).map { Self.made(0, index, $0) })
    }
    for (kind, moments) in [optimizer.firstMoments, optimizer.secondMoments].enumerated() {
      var all = moments.elements
      for piece in parameters.pieces {
        let index = parameters.parameters.firstIndex { $0 === piece.parameter }!
        all.replaceSubrange(
          piece.place, with: Self.elements(of: piece.part).map { Self.made(kind + 1, index, $0) })
      }
      moments.assign(all)
    }
  }

  /// What here differs from `made`.
  var differences: [String] {
    var differences: [String] = []
    for (index, parameter) in parameters.parameters.enumerated()
    where parameter.value.elements
      != Self.elements(of: parameter).map({ Self.made(0, index, $0) })
    {
      differences.append("\(mesh): \(parameter.name)")
    }
    for (kind, moments) in [optimizer.firstMoments, optimizer.secondMoments].enumerated() {
      let all = moments.elements
      for piece in parameters.pieces {
        let index = parameters.parameters.firstIndex { $0 === piece.parameter }!
        if Array(all[piece.place])
          != Self.elements(of: piece.part).map({ Self.made(kind + 1, index, $0) })
        {
          differences.append("\(mesh): moment \(kind + 1) of \(piece.parameter.name)")
        }
      }
    }
    return differences
  }

  /// Every rank writes its share of a checkpoint; returns its folder.
  func save(to store: CheckpointStore, step: Int) throws -> String {
    let world = mesh.world
    let staging = store.begin(step: step)
    try world.agreeing { if world.rank == 0 { try staging.prepare() } }
    let written = staging.write(optimizer, over: world)
    let own = try world.agreeing { try written.get() }
    let all = world.gather(FileEntry.encode(own))
    try world.agreeing {
      if world.rank == 0 { _ = try staging.commit(all.flatMap { try FileEntry.decode($0) }) }
    }
    return staging.finalPath
  }

  func load(_ path: String) throws {
    let folder = try CheckpointFolder(path: path)
    try parameters.load(folder.tensors("model"))
    try optimizer.load(folder.tensors("optimizer"))
  }
}
