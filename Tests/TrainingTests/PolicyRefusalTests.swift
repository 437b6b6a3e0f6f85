// What PPO and GRPO cannot use is refused by name.

import Parallel
import Stages
import Testing
import Training

@Suite struct PolicyRefusalTests {
  private func refusal(
    _ fixture: StageFixture, _ stage: StageName, rule: @escaping AnswerReward = StageFixture.rule,
    _ change: @escaping (inout RunConfiguration) -> Void
  ) -> String {
    do {
      let configuration = fixture.configuration(stage, change)
      try configuration.validate()
      _ = try fixture.run(configuration, rule: rule)
      return "nothing"
    } catch { return "\(error)" }
  }

  @Test func `what a policy's stage cannot use is refused by name`() throws {
    let fixture = try StageFixture.withFirstModels()
    #expect(
      refusal(fixture, .ppo) { ($0.ppo.klPlacement, $0.ppo.klEstimator) = (.loss, .k1) }
        .hasPrefix("ppo.klEstimator is k1 with ppo.klPlacement loss: k1 in the loss has"))
    #expect(
      refusal(fixture, .ppo) { $0.rollout.minibatches = 4 }
        == "rollout.minibatches is 4; accepted: a divisor of training.batch, 9")
    #expect(
      refusal(fixture, .grpo) { $0.grpo.groupSize = 2 }
        == "grpo.groupSize is 2; accepted: a divisor of training.batch, 9")
    #expect(
      refusal(fixture, .ppo) { $0.rollout.reference = "\($0.run.folder)/ppo" }
        .contains("rollout.reference is"))
    #expect(refusal(fixture, .ppo) { $0.data.start = "" }.hasPrefix("data.start is \"\""))
    #expect(
      refusal(fixture, .ppo) { $0.rollout.reward = .model }
        .hasPrefix("rollout.rewardModel is \"\"; accepted: a checkpoint of apus reward"))
    #expect(
      refusal(fixture, .ppo) {
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\($0.run.folder)/sft"
      }.contains("rollout.rewardModel has no scalar head"))
    #expect(
      refusal(fixture, .ppo) { $0.data.sequenceLength = 12 }
        .contains("the prompt has"))
    #expect(
      refusal(fixture, .ppo) { $0.data.sequenceLength = 7 }
        .hasPrefix("rollout.answerTokens is 7; accepted: 1 to 6"))
    #expect(
      refusal(fixture, .ppo) { ($0.ppo.klTarget, $0.ppo.klHorizon) = (1, 1) }
        .hasPrefix("ppo.klHorizon is 1.0; accepted: more than a fifth"))
    #expect(
      refusal(fixture, .ppo) { $0.rollout.reference = "\($0.run.folder)/../runs/ppo/" }
        .contains("a checkpoint of another run"))
    _ = try fixture.run(
      fixture.configuration(.reward) {
        $0.run.name = "flat"
        $0.training.steps = 1
        $0.model.scalarHead = .zero
        $0.optimizer.learningRate = 0
      })
    #expect(
      refusal(fixture, .ppo) {
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\($0.run.folder)/flat"
        $0.rollout.scoreScale = .start
      }.contains("accepted: a reward model that tells answers apart"))
    #expect(
      refusal(fixture, .ppo, rule: { _, _ in .nan }) { _ in }.contains("accepted: finite numbers"))
    try fixture.write("empty.jsonl", "")
    #expect(
      refusal(fixture, .ppo) { $0.examples.training = "\(fixture.folder)/empty.jsonl" }
        .contains("empty.jsonl: holds no examples"))
    let other = try StageFixture.tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|x|>"])
    try fixture.write("other.json", String(decoding: other.json, as: UTF8.self))
    _ = try fixture.run(
      fixture.configuration(.reward) {
        $0.run.name = "other"
        $0.training.steps = 1
        $0.data.tokenizer = "\(fixture.folder)/other.json"
      })
    #expect(
      refusal(fixture, .ppo) {
        $0.rollout.reward = .model
        $0.rollout.rewardModel = "\($0.run.folder)/other"
      }.contains("rollout.rewardModel has another vocabulary"))
  }
}
