// What a step of a stage has to send at the least: told where every step sends alike, and nowhere else.

import Foundation
import Parallel
import Stages
import Testing
import Training

@Suite struct StageAccountingTests {
  @Test(arguments: 1...5)
  func `the tokens of a step are those of the data rank that has most`(ranks: Int) throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.sft) { $0.training.microBatch = 2 }
    let counts = try InProcessRanks.run(ranks) { world in
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: ranks))
      let (stage, trainer) = try StageFixture.ready(configuration, on: mesh)
      let tokens = stage.microBatches(step: 0, over: trainer.data).reduce(0) {
        $0 + $1.batch.tokens.count
      }
      return (own: tokens, told: stage.tokensOfStep(dataRanks: ranks))
    }
    let most = counts.map(\.own).max()
    #expect(counts[0].own == most && counts.allSatisfy { $0.told == most })
  }

  @Test(arguments: [StageName.sft, .reward, .dpo, .ppo, .grpo])
  func `metrics hold a least where every step sends alike`(stage: StageName) throws {
    let fixture = try StageFixture()
    if stage != .sft { _ = try fixture.run(fixture.configuration(.sft) { $0.training.steps = 1 }) }
    let configuration = fixture.configuration(stage) {
      $0.run.name = "told"
      $0.training.steps = 2
      if stage == .dpo { $0.data.start = "\(fixture.folder)/runs/sft" }
    }
    let shown = try fixture.run(configuration, ranks: 2)
    #expect(shown.contains("training loss"))
    let metrics = try String(
      contentsOfFile: "\(configuration.run.folder)/told/metrics.jsonl", encoding: .utf8)
    let steps = metrics.split(separator: "\n").filter { $0.contains("\"kind\":\"step\"") }
    #expect(steps.count == 2 && steps.allSatisfy { $0.contains("\"bytes\":") })
    #expect(steps.allSatisfy { $0.contains("\"minimum\":") == (stage == .sft) })
  }
}
