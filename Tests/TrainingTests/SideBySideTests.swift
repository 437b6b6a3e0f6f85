// Policy and critic, each learnt by ranks of its own.

import Foundation
import Parallel
import Stages
import Testing
import Training
import Transformer

@Suite struct SideBySideTests {
  @Test(arguments: [("data=2", 2, 2), ("expert=2", 2, 1), ("tensor=2,expert=2", 4, 2)])
  func `policy and critic learn side by side where data ranks can be dealt`(
    layout: String, ranks: Int, parts: Int
  ) throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(.ppo)
    let found = try InProcessRanks.run(ranks) { world in
      let mesh = ProcessMesh(world, layout: try Layout(layout, ranks: ranks))
      let (_, trainer) = try StageFixture.ready(configuration, on: mesh)
      return [trainer, trainer.critic!].map { ($0.learners.parts, $0.learners.areHere) }
    }
    #expect(found.allSatisfy { $0.allSatisfy { $0.0 == parts } })
    for (rank, learners) in found.enumerated() {
      let isInFirst = rank < ranks / parts
      #expect(learners.map(\.1) == [isInFirst, parts == 1 || !isInFirst], "rank \(rank)")
    }
  }

  @Test func `a critic of another size learns on all ranks`() throws {
    let fixture = try StageFixture.withFirstModels()
    _ = try fixture.run(
      fixture.configuration(.reward) {
        $0.run.name = "large"
        $0.training.steps = 1
        $0.model.layers = 4
      })
    let configuration = fixture.configuration(.ppo) { $0.ppo.critic = "\($0.run.folder)/large" }
    let parts = try InProcessRanks.run(2) { world in
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: 2))
      return try StageFixture.ready(configuration, on: mesh).trainer.learners.parts
    }
    #expect(parts == [1, 1])
  }

  @Test func `a critic that fails on its own ranks ends all with its words`() throws {
    let fixture = try StageFixture.withFirstModels()
    let configuration = fixture.configuration(.ppo) { $0.ppo.criticLearningRate = 1e200 }
    let words = try InProcessRanks.run(2) { world in
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: 2))
      let (stage, trainer) = try StageFixture.ready(configuration, on: mesh)
      do {
        _ = try stage.step(trainer, step: 0, learningRate: 1e-3)
        return "no error"
      } catch { return "\(error)" }
    }
    #expect(words[0] == words[1])
    #expect(words[0].contains("rank 1 of 2") && words[0].contains("is not finite"), "\(words[0])")
  }
}
