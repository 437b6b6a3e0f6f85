// Which stage a name is, and how the command makes it: with a task's rule where it learns from one.

import Parallel
import Stages
import Training

extension StageName {
  var stage: any Stage.Type {
    switch self {
    case .pretrain: Pretraining.self
    case .sft: SupervisedFineTuning.self
    case .reward: RewardModeling.self
    case .dpo: DirectPreference.self
    case .ppo: ProximalPolicy.self
    case .grpo: GroupRelativePolicy.self
    }
  }

  /// The stage on a rank.
  func make(_ configuration: RunConfiguration, over world: Communicator) throws -> any Stage {
    switch self {
    case .ppo:
      try ProximalPolicy(
        configuration, reward: try TaskRewards.rule(for: configuration), over: world)
    case .grpo:
      try GroupRelativePolicy(
        configuration, reward: try TaskRewards.rule(for: configuration), over: world)
    case .pretrain, .sft, .reward, .dpo: try stage.init(configuration, over: world)
    }
  }
}
