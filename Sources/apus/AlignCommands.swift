// `apus sft`, `reward`, `dpo`, `ppo` and `grpo`: the stages after pretraining, run as it is.

import ArgumentParser

struct SFTCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sft",
    abstract: "Teaches a model to answer: examples.training holds instructions.",
    discussion: """
      Starts from data.start, whose model and tokenizer it takes. Lines are {"messages"}, {"prompt", \
      "completion"}, or {"text"} with a dialogue; only answers and the token that ends them are learned. \
      Ranks, signals and --resume are as for `apus pretrain`.
      """)

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.sft) }
}

struct RewardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reward",
    abstract: "Makes a reward model: examples.training holds preferences.",
    discussion: """
      Starts from data.start. Lines are {"prompt", "chosen", "rejected"}, with an optional margin, or \
      two conversations that begin alike. Ranks, signals and --resume are as for `apus pretrain`.
      """)

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.reward) }
}

struct DPOCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dpo",
    abstract: "Trains a policy on preferences, without a reward model.",
    discussion: """
      data.start is the first policy, and the reference whose log-probabilities are computed once and \
      kept in run.folder/.reference. Lines are those of `apus reward`; ranks, signals and --resume as for \
      `apus pretrain`.
      """)

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.dpo) }
}

struct PPOCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ppo",
    abstract: "Trains a policy on rewards of its own answers, with a critic.",
    discussion: """
      data.start is the first policy, and the reference that KL is measured to unless \
      rollout.reference names another; examples.training holds prompts, {"prompt"} a line. Rewards are \
      a reward model's (rollout.rewardModel) or a task's rule (rollout.task). Ranks, signals and \
      --resume are as for `apus pretrain`.
      """)

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.ppo) }
}

struct GRPOCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grpo",
    abstract: "Trains a policy on rewards of groups of its own answers, without a critic.",
    discussion: "Reads what `apus ppo` reads; grpo.groupSize answers to a prompt are compared.")

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.grpo) }
}
