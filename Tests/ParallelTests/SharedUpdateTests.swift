// Gradients summed by shares, and updates of shares, against whole arrays, under every layout.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing

@Suite struct SharedUpdateTests {
  @Test(arguments: Precision.allCases)
  func `shares of all ranks are the whole model once`(precision: Precision) throws {
    try onRanks { world, checks in
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mixed = MixedParameters(on: ProcessMesh(world, layout: layout), precision: precision)
        let parts = (0..<world.size).map { mixed.parameters.parts(ofRank: $0) }
        for (index, parameter) in mixed.parameters.parameters.enumerated() {
          var holders = [Int](repeating: 0, count: parameter.count)
          for part in parts.map({ $0[index] }) {
            part.forEachRun(0..<part.count) { _, whole, count in
              for element in whole..<whole + count { holders[element] += 1 }
            }
          }
          checks.expect(holders.allSatisfy { $0 == 1 }, "\(layout): \(parameter.name) \(holders)")
        }
        // What the others compute of this rank is what it has.
        let own = parts[world.rank].map(\.elements).filter { !$0.isEmpty }.map(\.count)
        let pieces = mixed.parameters.parameters.flatMap { parameter in
          mixed.parameters.pieces.filter { $0.parameter === parameter }.map(\.elements.count)
        }
        checks.equal(own, pieces, "\(layout): pieces")
        // No share exceeds an even one by more than a unit, and a gap a parameter, of each group.
        let even = mixed.parameters.groups.reduce(0) { $0 + $1.values.count / $1.replicas.size }
        checks.expect(
          mixed.parameters.ownCount <= even + 16 * mixed.parameters.groups.count,
          "\(layout): \(mixed.parameters.ownCount) elements, an even share has \(even)")
      }
    }
  }

  @Test(arguments: Precision.allCases)
  func `a share of the sum has the bits of the whole sum`(precision: Precision) throws {
    try onRanks { world, checks in
      let team = ThreadTeam(size: 1)
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mixed = MixedParameters(on: ProcessMesh(world, layout: layout), precision: precision)
        let sums = MixedParameters.declarations.indices.map {
          MixedParameters.summedGradient($0, layout, precision: precision)
        }
        mixed.fillGradients()
        mixed.parameters.reduceGradients(team: team)
        for (index, parameter) in mixed.parameters.parameters.enumerated() {
          let held = MixedParameters.held(index, at: mixed.mesh.position)
          checks.expect(
            parameter.gradient.elements == held.map { sums[index][$0] },
            "\(layout): whole sum of \(parameter.name)")
        }
        let reduced = mixed.parameters.sumOfSquaredGradients(team: team)
        mixed.fillGradients()
        mixed.parameters.scatterGradients(team: team)
        for piece in mixed.parameters.pieces {
          let index = mixed.parameters.parameters.firstIndex { $0 === piece.parameter }!
          let held = MixedParameters.held(index, at: mixed.mesh.position)
          let found = Array(piece.parameter.gradient.elements[piece.elements])
          checks.expect(
            found == held[piece.elements].map { sums[index][$0] },
            "\(layout): share of \(piece.parameter.name)")
        }
        let squares = mixed.parameters.sumOfSquaredGradients(team: team)
        checks.equal(squares, reduced, "\(layout): squares of the share")
        // Every element of the model once.
        let norm = world.sum(squares).squareRoot()
        let expected = sums.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
        checks.expect(
          abs(norm - expected) <= 1e-13 * expected, "\(layout): norm \(norm), not \(expected)")
      }
    }
  }

  @Test(arguments: [Double.nan, .infinity])
  func `one bad number of one rank shows in everyone's norm`(bad: Double) throws {
    try onRanks { world, checks in
      let team = ThreadTeam(size: 1)
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mixed = MixedParameters(on: ProcessMesh(world, layout: layout), precision: .float32)
        for (index, parameter) in mixed.parameters.parameters.enumerated() {
          mixed.fillGradients()
          if world.rank == index % world.size, parameter.gradient.count > 0 {
            parameter.slot.add { gradient, _ in
              var elements = gradient.elements
              elements[elements.count - 1] = bad
              gradient.assign(elements)
            }
          }
          mixed.parameters.scatterGradients(team: team)
          let squares = world.sum(mixed.parameters.sumOfSquaredGradients(team: team))
          checks.expect(!squares.isFinite, "\(layout): \(parameter.name) hides \(bad)")
        }
      }
    }
  }

  @Test(arguments: Precision.allCases)
  func `descent by shares has the bits of descent of the whole`(precision: Precision) throws {
    try onRanks { world, checks in
      let team = ThreadTeam(size: 1)
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mixed = MixedParameters(on: ProcessMesh(world, layout: layout), precision: precision)
        let whole = MixedParameters(on: .single(), precision: precision)
        mixed.fillGradients()
        mixed.parameters.scatterGradients(team: team)
        mixed.parameters.descend(learningRate: 0.3, team: team)
        for (index, parameter) in mixed.parameters.parameters.enumerated() {
          let reference = whole.parameters.parameters[index]
          reference.gradient.assign(
            MixedParameters.summedGradient(index, layout, precision: precision))
          sgd(
            learningRate: 0.3, parameters: reference.value.matrix,
            gradients: reference.gradient.matrix, team: team)
          let expected = reference.value.elements
          checks.expect(
            parameter.value.elements
              == MixedParameters.held(index, at: mixed.mesh.position).map { expected[$0] },
            "\(layout): \(parameter.name)")
        }
      }
    }
  }
}
