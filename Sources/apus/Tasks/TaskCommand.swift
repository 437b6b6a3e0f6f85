// `apus task`: toy tasks as files, and preferences by their gold.

import ArgumentParser
import Kernels
import Parallel
import Tasks
import Training

struct TaskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "task",
    abstract: "Tasks whose true reward is computable: their files, and preferences.",
    subcommands: [Write.self, Pairs.self, TaskEvaluateCommand.self, TaskCurveCommand.self])

  struct Write: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write a task's tokenizer, demonstrations and prompts.",
      discussion: """
        Gives tokenizer.json, sft.jsonl {"prompt", "completion"}, prompts.jsonl {"prompt"}, and of prompts \
        that are in no training, whatever the seed, evaluation.jsonl and evaluation-prompts.jsonl.
        """)

    @OptionGroup var task: TaskOptions
    @Option(help: "The folder for the files.")
    var folder: String
    @Option(help: "Demonstrations to learn from.")
    var examples = 4000
    @Option(help: "Prompts without answers.")
    var prompts = 4000
    @Option(help: "Demonstrations and prompts to evaluate on.")
    var evaluation = 500
    @Option(help: "Key of the random numbers.")
    var seed: UInt64 = 1
    @Flag(help: "Replace files that are there.")
    var force = false

    func validate() throws {
      for (name, value) in [
        ("examples", examples), ("prompts", prompts), ("evaluation", evaluation),
      ] where value < 1 {
        throw ValidationError("--\(name) is \(value); accepted: 1 or more")
      }
    }

    func run() throws {
      var files = TaskFiles(task: try task.settings().task())
      (files.examples, files.prompts, files.evaluation) = (examples, prompts, evaluation)
      files.seed = seed
      try files.write(to: folder, replacing: force)
      say(
        "\(folder): \(files.task.name), vocabulary \(files.task.vocabulary.count); \(examples) "
          + "demonstrations, \(prompts) prompts, \(evaluation) to evaluate; prompts of up to "
          + "\(files.task.promptLimit) tokens, answers of up to \(files.task.answerLimit)")
      let shown = files.task.demonstration(.training(seed: seed), index: 0)
      say(files.task.rendering(of: shown.answer, to: shown.prompt))
    }
  }

  struct Pairs: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Draw pairs of a model's answers and label them by the task's gold, by chance.",
      discussion: """
        The first of two answers is preferred with probability 1 / (1 + exp(gold of the second - gold of \
        the first)), so the best accuracy that any reward model can have on the labels is known; it is \
        printed. Answers that do not end, are empty or equal are left out and drawn anew.
        """)

    @OptionGroup var task: TaskOptions
    @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
    var checkpoint: String
    @Option(help: "Pairs of answers to training prompts.")
    var pairs: Int
    @Option(help: "The file for them.")
    var output: String
    @Option(help: "Pairs of answers to prompts that are in no training.")
    var evaluationPairs: Int?
    @Option(help: "The file for these.")
    var evaluationOutput: String?
    @Option(help: "Least difference in gold of the two answers.")
    var leastGap = 0.0
    @Option(help: "Key of prompts, answers and labels.")
    var seed = PairSampling.usualSeed
    @Flag(help: "Replace files that are there.")
    var force = false
    @OptionGroup var layout: LayoutOptions
    @OptionGroup var ranks: RankOptions

    func validate() throws {
      for (name, value) in [("pairs", pairs), ("evaluation-pairs", evaluationPairs ?? 1)]
      where value < 1 {
        throw ValidationError("--\(name) is \(value); accepted: 1 or more")
      }
      guard leastGap >= 0 else {
        throw ValidationError("--least-gap is \(leastGap); accepted: 0 or more")
      }
      guard (evaluationPairs == nil) == (evaluationOutput == nil) else {
        throw ValidationError("--evaluation-pairs and --evaluation-output belong together")
      }
      guard output != evaluationOutput else {
        throw ValidationError("--output and --evaluation-output are the same file")
      }
    }

    func run() throws {
      try ranks.run { world in
        let task = try world.agreeing {
          for path in [output, evaluationOutput].compactMap({ $0 })
          where !force && Disk().exists(path) {
            throw FileError(
              path, "is there already; accepted: another file, or --force to replace it")
          }
          return try self.task.settings()
        }
        let loaded = try ranks.load(checkpoint, layout: layout, world: world)
        let sampling = PairSampling(
          model: loaded.model,
          questions: try world.agreeing { try TaskQuestions(task, for: loaded) },
          seed: seed, leastGap: leastGap)
        try write(pairs, evaluation: false, to: output, sampling, on: world)
        guard let evaluationPairs, let evaluationOutput else { return }
        try write(evaluationPairs, evaluation: true, to: evaluationOutput, sampling, on: world)
      }
    }

    private func write(
      _ count: Int, evaluation: Bool, to path: String, _ sampling: PairSampling,
      on world: Communicator
    ) throws {
      let drawn = try sampling.draw(count, evaluation: evaluation)
      try world.agreeing {
        if world.rank == 0 { try Disk().replace(path, with: sampling.lines(drawn)) }
      }
      guard world.rank == 0 else { return }
      say(drawn.summary(path))
    }
  }
}

extension RankOptions {
  /// A checkpoint's model on these ranks.
  func load(
    _ checkpoint: String, precision: Precision? = nil, layout: LayoutOptions, world: Communicator
  ) throws -> LoadedModel {
    try LoadedModel(
      checkpoint, threads: Self.threads(inProcess: ranksInProcess),
      precision: precision, world: world, layout: layout.layout)
  }
}
