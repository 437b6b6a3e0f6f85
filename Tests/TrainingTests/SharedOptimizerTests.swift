// AdamW by shares against AdamW of whole arrays; and how failures of ranks are told.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training

@Suite struct SharedOptimizerTests {
  /// A gradient for each element, step and rank, of widely differing sizes.
  static func gradient(_ index: Int, _ element: Int, step: Int, rank: Int) -> Double {
    let key = RandomKey(seed: 9, name: "gradient").derived(UInt64(step * 64 + rank))
    let draw = uniform(key, counter: UInt64(index * 400_000 + element))
    return (draw - 0.5) * exp2(Double(element % 16) - 8)
  }

  /// The whole gradient that a step sums: of each element, what its holders add, in rank order.
  static func summed(
    _ index: Int, _ layout: Layout, step: Int, precision: Precision
  ) -> [Double] {
    let (_, shape, placement) = StoredSet.declarations[index]
    var sums = [Double?](repeating: nil, count: shape.reduce(1, *))
    for rank in 0..<layout.ranks {
      let slice = placement.slice(of: shape, at: MeshPosition(layout, rank: rank))
      for element in StoredSet.elements(of: SlicePart(of: shape, slice: slice)) {
        let own = gradient(index, element, step: step, rank: rank)
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

  static let cases: [(ranks: Int, layout: String)] = [
    (1, ""), (2, ""), (3, ""), (4, ""), (2, "tensor=2"), (4, "tensor=2,expert=2"),
    (8, "tensor=2,expert=2,expert-tensor=2"), (8, "tensor=4,expert=8"),
  ]

  @Test(arguments: Precision.allCases, cases.indices)
  func `an update by shares has the bits of an update of the whole`(
    precision: Precision, index: Int
  ) throws {
    let (ranks, text) = Self.cases[index]
    let layout = try Layout(text, ranks: ranks)
    let (steps, scale) = (2, 0.7)
    // Whole arrays, each updated by the kernel in one go.
    let whole = StoredSet(on: .single(), precision: precision, seed: 1).parameters.parameters
    let team = ThreadTeam(size: 1)
    let expected = whole.enumerated().map { index, parameter in
      func zeros() -> Tensor {
        Tensor(
          shape: TensorShape(parameter.shape), precision: precision,
          storage: Storage(bytes: parameter.count * precision.bytes))
      }
      let (first, second) = (zeros(), zeros())
      for step in 1...steps {
        parameter.gradient.assign(
          Self.summed(index, layout, step: step, precision: precision))
        adamW(
          AdamWStep(
            learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8,
            weightDecay: parameter.shape.count > 1 ? 0.1 : 0, step: step, gradientScale: scale),
          parameters: parameter.value.matrix, gradients: parameter.gradient.matrix,
          firstMoments: first.matrix, secondMoments: second.matrix, team: team)
      }
      return parameter.value.elements
    }
    let wrong = try InProcessRanks.run(ranks) { world in
      let set = StoredSet(
        on: ProcessMesh(world, layout: layout), precision: precision, seed: 1)
      let team = ThreadTeam(size: 1 + world.rank % 2)
      for step in 1...steps {
        set.parameters.clearGradients()
        for (index, parameter) in set.parameters.parameters.enumerated() {
          parameter.slot.add { gradient, _ in
            gradient.assign(
              StoredSet.elements(of: parameter).map {
                Self.gradient(index, $0, step: step, rank: world.rank)
              })
          }
        }
        set.parameters.scatterGradients(team: team)
        set.optimizer.update(learningRate: 0.01, gradientScale: scale, team: team)
      }
      return set.parameters.parameters.enumerated().compactMap { index, parameter in
        parameter.value.elements
          == StoredSet.elements(of: parameter).map { expected[index][$0] }
          ? nil : "\(set.mesh): \(parameter.name)"
      }
    }
    #expect(wrong.allSatisfy { $0.isEmpty }, "\(wrong)")
  }

  private func findings(_ change: @escaping @Sendable (StoredSet) -> Void) throws -> [String] {
    try InProcessRanks.run(4) { world in
      let mesh = ProcessMesh(world, layout: try Layout("tensor=2", ranks: 4))
      let set = StoredSet(on: mesh, precision: .float32, seed: 1)
      for parameter in set.parameters.parameters {
        parameter.slot.add { gradient, _ in
          gradient.assign([Double](repeating: 1, count: gradient.count))
        }
      }
      change(set)
      return NonFiniteError(
        step: 3, what: .gradient, ownLoss: 1, in: set.parameters, mesh: mesh,
        team: ThreadTeam(size: 1)
      ).description
    }
  }

  private static func spoil(_ parameter: Parameter, at element: Int, with value: Double) {
    parameter.slot.add { gradient, _ in
      var elements = gradient.elements
      elements[element] = value
      gradient.assign(elements)
    }
  }

  @Test func `the bad gradient nearest to the loss is named, with its place and rank`() throws {
    let said = try findings { set in
      guard set.mesh.world.rank == 3 else { return }
      // The second half of the table's rows, of which this is the second.
      Self.spoil(set.parameters.parameters[1], at: 300 + 5, with: .nan)
      Self.spoil(set.parameters.parameters[0], at: 4, with: .infinity)
    }
    #expect(
      said
        == said.map { _ in
          "step 3: the gradient is not finite; weights keep their last values; rank 3 of 4: data 1, "
            + "tensor 1; expert-data 3: gradient of table[517, 5], of all bad ones the nearest to "
            + "the loss"
        })
  }

  @Test func `a sum that overflows where no rank's own gradient does is told as that`() throws {
    let said = try findings { set in
      // Twice this is no single-precision number.
      Self.spoil(set.parameters.parameters[4], at: 31, with: 3e38)
    }
    #expect(
      said.allSatisfy {
        $0.contains("every rank's own gradients are finite, only the sum over ranks is not")
          && $0.contains("gradient of router[1, 2]") && $0.contains("tensor ")
      }, "\(said)")
  }

  @Test func `ranks that fail are named by their coordinates`() throws {
    let said = try InProcessRanks.run(4) { world in
      _ = ProcessMesh(world, layout: try Layout("tensor=2", ranks: 4))
      return errorText {
        try world.agreeing {
          if world.rank == 1 { throw FileError("a", "is missing") }
          if world.rank > 1 { throw FileError("b", "is damaged") }
        }
      }
    }
    let expected =
      "rank 1 of 4: data 0, tensor 1; expert-data 1: a: is missing; "
      + "rank 2 of 4: data 1, tensor 0; expert-data 2 and rank 3 of 4: data 1, tensor 1; "
      + "expert-data 3: b: is damaged"
    #expect(said == said.map { _ in expected })
  }
}
