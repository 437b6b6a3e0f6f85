// Test support: parameters placed in every way that there is, and layouts that can split them.

import Kernels
import Parallel
import Tensors

/// Parameters of uneven sizes under every kind of placement.
struct MixedParameters {
  /// Name, whole shape, placement.
  static let declarations: [(name: String, shape: [Int], placement: Placement)] = [
    ("whole", [37], .whole),
    ("rows", [9, 5], .split(0, over: .tensor)),
    ("columns", [6, 11], .split(1, over: .tensor)),
    ("heads", [6, 7], .split(0, over: .tensor, parts: 2)),
    ("experts", [8, 5, 3], .split(0, over: .expert)),
    ("expert rows", [8, 9, 2], .split(0, over: .expert).split(1, over: .expertTensor)),
    ("expert columns", [8, 3, 10], .split(0, over: .expert).split(2, over: .expertTensor)),
    ("both", [130, 71], .whole),
  ]

  let parameters = ParameterSet()
  let mesh: ProcessMesh

  init(on mesh: ProcessMesh, precision: Precision, seed: UInt64 = 5) {
    self.init(learntBy: Learners(all: mesh), precision: precision, seed: seed)
  }

  /// On the mesh of this rank's part.
  init(learntBy learners: Learners, precision: Precision, seed: UInt64) {
    mesh = learners.mesh
    for (name, shape, placement) in Self.declarations {
      _ = parameters.declare(name, shape, .normal(deviation: 1), placement: placement)
    }
    parameters.allocate(
      on: try! Device(precision: precision, threads: 1), learners: learners, seed: seed)
  }

  /// The layouts of so many ranks whose tensor ranks can share two heads.
  static func layouts(ranks: Int) -> [Layout] {
    Layout.all(ranks: ranks).filter { $0.tensor <= 2 || $0.tensor % 2 == 0 }
  }

  /// Elements of the whole array that the rank at `position` holds, in the order of its memory.
  static func held(_ index: Int, at position: MeshPosition) -> [Int] {
    let (_, shape, placement) = declarations[index]
    let slice = placement.slice(of: shape, at: position)
    return (0..<shape.reduce(1, *)).filter { element in
      var rest = element
      return shape.indices.reversed().allSatisfy { dimension in
        defer { rest /= shape[dimension] }
        return slice[dimension].contains(rest % shape[dimension])
      }
    }
  }

  /// What `rank` adds to the gradient of an element of the whole array.
  static func gradient(_ index: Int, element: Int, rank: Int) -> Double {
    sample(rank: rank, index: index * 100_000 + element)
  }

  /// Gives every parameter this rank's own gradient.
  func fillGradients() {
    parameters.clearGradients()
    for (index, parameter) in parameters.parameters.enumerated() {
      parameter.slot.add { gradient, _ in
        gradient.assign(
          Self.held(index, at: mesh.position).map {
            Self.gradient(index, element: $0, rank: mesh.world.rank)
          })
      }
    }
  }

  /// The whole summed gradient of a parameter: of each element, what its holders add, in rank order.
  static func summedGradient(_ index: Int, _ layout: Layout, precision: Precision) -> [Double] {
    var sums = [Double?](repeating: nil, count: declarations[index].shape.reduce(1, *))
    for rank in 0..<layout.ranks {
      for element in held(index, at: MeshPosition(layout, rank: rank)) {
        let own = gradient(index, element: element, rank: rank)
        switch precision {
        case .float32:
          let before = sums[element].map { Float($0) }
          sums[element] = Double(before.map { $0 + Float(own) } ?? Float(own))
        case .float64: sums[element] = sums[element].map { $0 + own } ?? own
        }
      }
    }
    return sums.map { $0! }
  }
}
