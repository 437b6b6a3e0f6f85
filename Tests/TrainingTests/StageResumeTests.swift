// Stages stopped and resumed, started from each other, and refused.

import Foundation
import Parallel
import Stages
import Testing
import Text
import Training
import Transformer

@Suite struct StageResumeTests {
  static let stages: [StageName] = [.sft, .reward, .dpo, .ppo, .grpo]

  private func files(_ folder: String) throws -> [String] {
    try CheckpointFolder(path: folder).files.map { "\($0.name) \($0.sha256)" }
      .filter { !$0.hasPrefix(CheckpointPart.configuration) }
  }

  /// Ranks, tensor, expert. Of the last, policy and critic learn side by side.
  static let layouts = [(1, 1, 1), (4, 2, 4), (4, 1, 2)]

  @Test(arguments: stages, layouts)
  func `a stage that was stopped three times ends as one that never was`(
    stage: StageName, layout: (ranks: Int, tensor: Int, expert: Int)
  ) throws {
    let ranks = layout.ranks
    let fixture = try StageFixture()
    func configuration(_ name: String, steps: Int) -> RunConfiguration {
      fixture.configuration(stage) {
        $0.run.name = name
        $0.training.steps = steps
        $0.training.microBatch = 1
        // Changes no bit: a run may change it on the way.
        $0.training.recompute = steps.isMultiple(of: 2) ? .block : .none
        $0.layout.tensor = layout.tensor
        $0.layout.expert = layout.expert
        if stage == .dpo { $0.data.start = "\(fixture.folder)/runs/sft" }
        if stage == .ppo { $0.ppo.klTarget = 0.1 }
      }
    }
    if stage != .sft { _ = try fixture.run(fixture.configuration(.sft) { $0.training.steps = 1 }) }
    _ = try fixture.run(configuration("whole", steps: 6), ranks: ranks)
    for (index, steps) in [1, 3, 4, 6].enumerated() {
      let shown = try fixture.run(
        configuration("parts", steps: steps), ranks: ranks, resuming: index > 0)
      #expect(shown.contains("resumed from") == (index > 0))
    }
    let runs = "\(fixture.folder)/runs"
    #expect(
      try files("\(runs)/parts/step-00000006") == files("\(runs)/whole/step-00000006"))
    func metrics(_ name: String) throws -> [Substring] {
      let text = try String(contentsOfFile: "\(runs)/\(name)/metrics.jsonl", encoding: .utf8)
      return text.split(separator: "\n").filter { $0.contains("\"train\"") }
    }
    #expect(try metrics("parts") == metrics("whole"))
    #expect(try metrics("whole").count == 6)
  }

  @Test(arguments: layouts)
  func `a policy that follows a reward model ends alike, stopped or not`(
    layout: (ranks: Int, tensor: Int, expert: Int)
  ) throws {
    let ranks = layout.ranks
    let fixture = try StageFixture()
    for (stage, steps) in [(StageName.sft, 1), (.reward, 2)] {
      _ = try fixture.run(
        fixture.configuration(stage) {
          $0.training.steps = steps
          $0.model.router.biasRate = 0.01
        })
    }
    func configuration(_ name: String, steps: Int) -> RunConfiguration {
      fixture.configuration(.ppo) {
        $0.run.name = name
        $0.training.steps = steps
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\(fixture.folder)/runs/reward"
        $0.rollout.scoreScale = .start
        $0.rollout.routing = .replay
        ($0.ppo.klPlacement, $0.ppo.klEstimator) = (.reward, .k1)
        $0.model.router.biasRate = 0.01
        $0.layout.tensor = layout.tensor
        $0.layout.expert = layout.expert
      }
    }
    _ = try fixture.run(configuration("whole", steps: 4), ranks: ranks)
    for steps in [1, 3, 4] {
      _ = try fixture.run(configuration("parts", steps: steps), ranks: ranks, resuming: steps > 1)
    }
    let runs = "\(fixture.folder)/runs"
    #expect(try files("\(runs)/parts/step-00000004") == files("\(runs)/whole/step-00000004"))
  }

  @Test func `a policy goes on where its models are learnt by other ranks`() throws {
    let fixture = try StageFixture()
    _ = try fixture.run(
      fixture.configuration(.sft) {
        $0.training.steps = 1
        $0.model.router.biasRate = 0.01
      })
    func run(_ name: String, steps: Int, ranks: Int, expert: Int) throws {
      let configuration = fixture.configuration(.ppo) {
        $0.run.name = name
        $0.training.steps = steps
        $0.model.router.biasRate = 0.01
        $0.layout.expert = expert
      }
      _ = try fixture.run(configuration, ranks: ranks, resuming: true)
    }
    // All ranks, then halves, then all again.
    try run("whole", steps: 4, ranks: 1, expert: 1)
    try run("moved", steps: 1, ranks: 1, expert: 1)
    try run("moved", steps: 2, ranks: 4, expert: 2)
    try run("moved", steps: 3, ranks: 2, expert: 1)
    try run("moved", steps: 4, ranks: 4, expert: 4)
    func losses(_ name: String) throws -> [Double] {
      let path = "\(fixture.folder)/runs/\(name)/metrics.jsonl"
      return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        .map { try JSON(parsing: Array($0.utf8), source: path) }
        .filter { $0["kind"]?.asString == "step" }.map { $0["loss"]!.asNumber! }
    }
    let (found, expected) = (try losses("moved"), try losses("whole"))
    #expect(found.count == 4 && expected.count == 4)
    for (loss, other) in zip(found, expected) { #expect(abs(loss - other) <= StageBar.layout) }
  }

  @Test func `reward model and policy start from a fine-tuned model, and take its sizes`() throws {
    let fixture = try StageFixture()
    _ = try fixture.run(fixture.configuration(.sft) { $0.training.steps = 2 })
    for stage in [StageName.reward, .dpo] {
      let path = "\(fixture.folder)/\(stage.rawValue).yaml"
      try fixture.write(
        "\(stage.rawValue).yaml",
        """
        run: {folder: \(fixture.folder)/runs, precision: float64, watchdogSeconds: 0}
        data: {start: \(fixture.folder)/runs/sft, sequenceLength: 96}
        examples: {training: \(fixture.folder)/preferences.jsonl}
        model: {router: {balanceCoefficient: 0}}
        training: {steps: 2, batch: 4}
        schedule: {warmup: 0}
        """)
      let configuration = try RunConfiguration.load(file: path, stage: stage)
      #expect(configuration.model.width == 24 && configuration.model.router.experts == 8)
      #expect(configuration.model.router.balanceCoefficient == 0)
      #expect(configuration.model.scalarHead == (stage == .reward ? .zero : .none))
      let shown = try fixture.run(configuration)
      #expect(shown.contains("weights of \(fixture.folder)/runs/sft/step-00000002"))
      let loaded = try LoadedModel(
        "\(fixture.folder)/runs/\(stage.rawValue)", threads: 1)
      #expect(loaded.configuration.run.stage == stage)
      #expect(try loaded.textTokenizer() != nil)
    }
  }

  private func refusal(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing"
    } catch { return "\(error)" }
  }

  @Test func `what a stage cannot use is refused by name`() throws {
    let fixture = try StageFixture()
    func refusal(
      _ stage: StageName, _ change: @escaping (inout RunConfiguration) -> Void
    ) -> String {
      self.refusal {
        let configuration = fixture.configuration(stage, change)
        try configuration.validate()
        _ = try fixture.run(configuration)
      }
    }
    #expect(
      refusal(.sft) { $0.examples.training = "" }
        == "examples.training is \"\"; accepted: a JSONL file, to run sft on")
    #expect(refusal(.dpo) { _ in }.hasPrefix("data.start is \"\"; accepted: the checkpoint"))
    #expect(
      refusal(.reward) { $0.model.scalarHead = .none }
        == "model.scalarHead is none; accepted: zero or normal, since a reward is learnt")
    #expect(refusal(.reward) { $0.reward.centring = -1 }.hasPrefix("reward.centring is -1.0"))
    #expect(
      refusal(.sft) { $0.data.sequenceLength = 4 }.contains("instructions.jsonl, line 1: has "))
    #expect(
      refusal(.reward) { $0.data.sequenceLength = 4 }
        .contains("accepted: data.sequenceLength, 4, at most; examples are never cropped"))
    #expect(
      refusal(.sft) {
        $0.examples.training = "\(fixture.folder)/preferences.jsonl"
      }.contains("preferences.jsonl, line 1"))
    try fixture.write(
      "same.jsonl", #"{"prompt": "a", "chosen": "b", "rejected": "b"}"#)
    #expect(
      refusal(.reward) { $0.examples.training = "\(fixture.folder)/same.jsonl" }
        .contains("same.jsonl, line 1, field rejected: equals chosen"))
    let bare = try StageFixture.tokenizer(["<|endoftext|>"])
    try fixture.write("bare.json", String(decoding: bare.json, as: UTF8.self))
    #expect(
      refusal(.sft) { $0.data.tokenizer = "\(fixture.folder)/bare.json" }
        .contains("has no token for padding beside the stop token"))
    #expect(
      refusal(.sft) { $0.data.start = "\(fixture.folder)/nowhere" }.contains("is no folder"))
  }

  @Test func `a policy does not go on with other models, and they are named`() throws {
    let fixture = try StageFixture()
    let runs = "\(fixture.folder)/runs"
    for (name, seed) in [("sft", 1), ("other", 2)] {
      _ = try fixture.run(
        fixture.configuration(.sft) {
          ($0.run.name, $0.run.seed, $0.training.steps) = (name, seed, 1)
        })
    }
    _ = try fixture.run(fixture.configuration(.ppo) { $0.training.steps = 1 })
    func refusal(_ run: String, _ change: @escaping (inout RunConfiguration) -> Void) -> String {
      self.refusal {
        _ = try fixture.run(
          fixture.configuration(.ppo) {
            ($0.run.name, $0.training.steps) = (run, 2)
            change(&$0)
          }, resuming: true)
      }
    }
    #expect(
      refusal("ppo") { $0.rollout.reference = "\(runs)/other" }
        .contains("was made with another rollout.reference ("))
    #expect(
      refusal("ppo") { ($0.rollout.reference, $0.ppo.critic) = ("\(runs)/other", "\(runs)/other") }
        .contains("was made with another rollout.reference and ppo.critic ("))
    // As an older build wrote it, which did not tell one from the other.
    let whole = try CheckpointFolder(newestAt: "\(runs)/ppo")
    let staging = try CheckpointStore(folder: runs, run: "old").begin(step: whole.step)
    try staging.prepare()
    try staging.commit(
      whole.files.map { file in
        let bytes = Array(try Data(contentsOf: URL(filePath: "\(whole.path)/\(file.name)")))
        guard file.name == CheckpointPart.state else { return try staging.write(file.name, bytes) }
        let members = try JSON(parsing: bytes, source: file.name).asObject ?? JSONObject()
        let old = members.filter { $0.key != "sources" }.map { ($0.key, $0.value) }
        return try staging.write(file.name, Array(JSON.object(JSONObject(old)).compact.utf8))
      })
    #expect(
      refusal("old") { $0.rollout.reference = "\(runs)/other" }.contains(
        "another examples.training or data.start or rollout.reference or rollout.rewardModel or "))
    #expect(refusal("old") { _ in } == "nothing")
  }

  @Test func `examples that are too long can be left out, and are counted`() throws {
    let fixture = try StageFixture()
    let configuration = fixture.configuration(.sft) {
      $0.data.sequenceLength = 32
      $0.examples.skipBadLines = true
      $0.training.steps = 1
    }
    let data = try InstructionData(configuration, over: .alone())
    #expect(data.training.leftOut > 0)
    #expect(data.training.elements.count + data.training.leftOut == StageFixture.instructions.count)
    #expect(try fixture.run(configuration).contains("\(data.training.leftOut) left out"))
  }

  @Test func `a run goes on as its own stage, on its own examples alone`() throws {
    let fixture = try StageFixture()
    _ = try fixture.run(fixture.configuration(.reward) { $0.training.steps = 1 })
    let other = refusal {
      _ = try fixture.run(
        fixture.configuration(.dpo) {
          $0.run.name = "reward"
          $0.preference.reference = .none
        }, resuming: true)
    }
    #expect(other.contains("run.stage is dpo here, reward there"), "\(other)")
    try fixture.write("preferences.jsonl", StageFixture.preferences[1])
    let changed = refusal {
      _ = try fixture.run(
        fixture.configuration(.reward) { $0.training.steps = 2 }, resuming: true)
    }
    #expect(changed.contains("was made with another examples.training ("), "\(changed)")
    try fixture.write("reward.yaml", "run: {stage: sft}")
    #expect(
      refusal {
        _ = try RunConfiguration.load(file: "\(fixture.folder)/reward.yaml", stage: .reward)
      }
      .contains("run.stage is sft; accepted: reward"))
  }
}
