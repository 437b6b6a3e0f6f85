// Two models learnt side by side, each by a part of the data ranks, against what all ranks have to have.

import Kernels
import Parallel
import Tensors
import Testing

@Suite struct LearnersTests {
  @Test func `data ranks are dealt to two models where each part has all experts`() throws {
    try onRanks { world, checks in
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mesh = ProcessMesh(world, layout: layout)
        let first = mesh.learners(of: 2)
        let isDealt = layout.data % 2 == 0 && layout.expertData % 2 == 0
        checks.equal(first.parts, isDealt ? 2 : 1, "\(layout): parts")
        checks.equal(
          first.mesh.layout.ranks, world.size / first.parts, "\(layout): ranks of a part")
        let second = first.beside
        let isInFirst = world.rank < first.mesh.layout.ranks
        checks.equal(first.areHere, isInFirst, "\(layout): learners of the first")
        checks.equal(second.areHere, !isInFirst || !isDealt, "\(layout): learners of the second")
        checks.equal(second.beside.areHere, first.areHere, "\(layout): the one beside the second")
        // A part speaks as the whole does, and one model alone is learnt by all.
        checks.equal(first.mesh.world.speaker, world.speaker, "\(layout): speaker")
        checks.equal(mesh.learners(of: 1).parts, 1, "\(layout): parts of one model")
      }
    }
  }

  @Test(arguments: Precision.allCases)
  func `what one part learns all parts get`(precision: Precision) throws {
    try onRanks { world, checks in
      let team = ThreadTeam(size: 1)
      for layout in MixedParameters.layouts(ranks: world.size) {
        let mesh = ProcessMesh(world, layout: layout)
        let learners = mesh.learners(of: 2)
        for (learners, seed) in [(learners, 3), (learners.beside, 4)] as [(Learners, UInt64)] {
          let mixed = MixedParameters(learntBy: learners, precision: precision, seed: seed)
          let before = mixed.parameters.parameters.map(\.value.elements)
          // Of all that is held whole by anybody one rank updates each element.
          let parts = (0..<world.size).map { mixed.parameters.parts(ofRank: $0) }
          for (index, parameter) in mixed.parameters.parameters.enumerated() {
            let owned = parts.reduce(0) { $0 + $1[index].elements.count }
            checks.equal(owned, parameter.count, "\(layout): elements of \(parameter.name) updated")
          }
          checks.equal(
            mixed.parameters.ownCount > 0, learners.areHere, "\(layout): who has moments")
          if learners.areHere {
            mixed.fillGradients()
            mixed.parameters.finishScatter(team: team)
            mixed.parameters.descend(learningRate: 0.5, team: team)
          }
          mixed.parameters.handOn()
          for (index, parameter) in mixed.parameters.parameters.enumerated() {
            let place = learners.mesh.position
            let sums = MixedParameters.summedGradient(
              index, learners.mesh.layout, precision: precision)
            let held = MixedParameters.held(index, at: place).map { sums[$0] }
            let expected = zip(before[index], held).map { value, gradient in
              precision == .float32
                ? Double(Float(value).addingProduct(-0.5, Float(gradient)))
                : value.addingProduct(-0.5, gradient)
            }
            checks.equal(
              parameter.value.elements, expected, "\(layout): \(parameter.name) after \(seed)")
          }
          let own = [learners.mesh.world.rank, learners.areHere ? 7 : 9].map(Double.init)
          checks.equal(learners.handOn(own), [own[0], 7], "\(layout): numbers")
        }
      }
    }
  }
}
