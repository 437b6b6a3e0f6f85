// Everything that a run of any stage can be told, with every default; the model's part is
// `ModelConfiguration`.

import Kernels
import Parallel
import Transformer

/// The settings of a run.
///
/// What follows from them (steps an epoch, sequences a rank) is computed where it is needed.
public struct RunConfiguration: ConfigurationSection {
  public var run = RunSettings()
  public var data = DataConfiguration()
  public var examples = ExampleConfiguration()
  public var model = ModelConfiguration()
  public var layout = LayoutConfiguration()
  public var training = TrainingConfiguration()
  public var optimizer = OptimizerConfiguration()
  public var schedule = ScheduleConfiguration()
  public var reward = RewardConfiguration()
  public var preference = PreferenceConfiguration()
  public var rollout = RolloutConfiguration()
  public var ppo = PPOConfiguration()
  public var grpo = GRPOConfiguration()
  public var evaluation = EvaluationConfiguration()
  public var samples = SampleConfiguration()
  public var checkpoint = CheckpointConfiguration()
  public var display = DisplayConfiguration()

  public init() {}

  public static let meanings: [String: String] = [
    "run": "the run itself",
    "data": "what is read",
    "examples": "what stages after pretraining learn from",
    "model": "sizes and options of the transformer",
    "layout": "how the model is split over ranks; data ranks follow",
    "training": "steps and batches",
    "optimizer": "AdamW",
    "schedule": "learning rate over the steps, as a factor of optimizer.learningRate",
    "reward": "loss of the reward model",
    "preference": "loss of direct preference optimisation",
    "rollout": "answers that the policy writes in PPO and GRPO, and what they are worth",
    "ppo": "proximal policy optimisation with a critic",
    "grpo": "group-relative policy optimisation",
    "evaluation": "loss on text that is not trained on",
    "samples": "text written while training",
    "checkpoint": "what is saved and kept",
    "display": "what is shown",
  ]
}

/// What a run learns, named as its subcommand.
public enum StageName: String, Codable, Sendable, CaseIterable {
  case pretrain, sft, reward, dpo, ppo, grpo
}

/// Name, stage, seed, precision, threads and place of a run.
public struct RunSettings: ConfigurationSection {
  /// Empty takes the configuration file's name.
  public var name = ""
  public var stage = StageName.pretrain
  public var seed = 1
  public var precision = Precision.float32
  /// Threads of one rank; 0 shares the processors that may be used among this machine's ranks.
  public var threads = 0
  public var folder = "checkpoints"
  /// Seconds; 0 is no watchdog.
  public var watchdogSeconds = 600

  public init() {}

  /// Where tokens are kept when the folder of the corpus cannot be written.
  public var tokenFolder: String { "\(folder)/.tokens" }

  public static let meanings: [String: String] = [
    "name": "folder of the run within run.folder; empty takes the configuration file's name",
    "stage": "what is learnt; the subcommand says it",
    "seed": "every random number derives from it",
    "precision": "of weights and all arithmetic",
    "threads": "threads of one rank; 0 is the processors that may be used / the machine's ranks",
    "folder": "where runs are kept",
    "watchdogSeconds":
      "seconds without a collective or step on any rank after which all are ended; 0 is never",
  ]
}

/// Text and tokenizer.
public struct DataConfiguration: ConfigurationSection {
  public var corpus = "corpora/kjv.txt"
  public var tokenizer = "corpora/kjv-2048.json"
  /// Empty draws the first weights.
  public var start = ""
  /// Tokens of one training sequence.
  public var sequenceLength = 256

  /// The most tokens of any sequence, and the most new ones of a continuation: keeps products of
  /// sizes within an Int, far above what a processor can take.
  public static let longestSequence = 1 << 20

  public init() {}

  public static let meanings: [String: String] = [
    "corpus": "UTF-8 text file, folder of such files, or JSONL with a text field",
    "tokenizer": "tokenizer.json of a byte-level BPE; that of data.start goes before it",
    "start":
      "checkpoint, or a run's folder for its newest, whose weights come first; empty draws them",
    "sequenceLength": "tokens of one training sequence; the longest example",
  ]
}

/// How many ranks share a model's weights; data ranks follow from the number of ranks.
public struct LayoutConfiguration: ConfigurationSection {
  public var tensor = 1
  public var expert = 1
  public var expertTensor = 1
  /// Checked where it is not 0.
  public var data = 0
  /// Checked where it is not 0.
  public var expertData = 0
  public var dispatch = ExpertDispatch.automatic

  public init() {}

  public static let meanings: [String: String] = [
    "tensor": "ranks that split attention and dense layers",
    "expert": "ranks that split the experts among them",
    "expertTensor": "ranks that split each expert",
    "data": "ranks / tensor; 0 follows, another number is checked",
    "expertData": "ranks / (expert x expertTensor); 0 follows, another number is checked",
    "dispatch": "how tokens reach experts on other ranks; automatic moves the fewest bytes",
  ]
}
