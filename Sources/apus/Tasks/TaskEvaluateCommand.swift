// `apus task evaluate`: what a policy's answers are truly worth.

import ArgumentParser
import Parallel
import Tasks
import Training

struct TaskEvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Judge a model's answers by the task's gold, on prompts that are in no training.",
    discussion: """
      With --against also: how often its answers are worth more than those of that model, a tie being \
      half a win, and the exact KL to it. With --best-of: what the answer that a reward model likes best \
      of n is worth.
      """)

  @OptionGroup var task: TaskOptions
  @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
  var checkpoint: String
  @Option(help: "The checkpoint to compare with, such as the one that it was trained from.")
  var against: String?
  @Option(help: "Prompts to answer.")
  var prompts = 500
  @Option(help: "Answers drawn to each prompt.")
  var samples = 1
  @Option(help: "Numbers of answers to choose from, such as 1,4,16,64.")
  var bestOf: String?
  @Option(help: "The reward model that chooses.")
  var rewardModel: String?
  @Option(help: "Answers to show.")
  var show = 0
  @Option(help: "Key of the random numbers.")
  var seed: UInt64 = 1
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func validate() throws {
    for (name, value, least) in [
      ("prompts", prompts, 1), ("samples", samples, 1), ("show", show, 0),
    ] where value < least {
      throw ValidationError("--\(name) is \(value); accepted: \(least) or more")
    }
    guard (bestOf == nil) == (rewardModel == nil) else {
      throw ValidationError("--best-of and --reward-model belong together")
    }
    _ = try counts()
  }

  private func counts() throws -> [Int] {
    try bestOf.map(BestOfNTable.counts) ?? []
  }

  func run() throws {
    try ranks.run { world in try evaluate(on: world) }
  }

  private func evaluate(on world: Communicator) throws {
    let task = try world.agreeing { try self.task.settings() }
    let policy = try ranks.load(checkpoint, layout: layout, world: world)
    let questions = try world.agreeing {
      let questions = try TaskQuestions(task, for: policy)
      try questions.checkEvaluation(prompts)
      return questions
    }
    let reference = try against.map { path in
      let reference = try ranks.load(
        path, precision: policy.device.precision, layout: layout, world: world)
      try world.agreeing { _ = try TaskQuestions(task, for: reference) }
      return reference
    }
    let evaluation = TaskEvaluation(
      of: policy, against: reference, questions,
      TaskEvaluation.Extent(prompts: prompts, samples: samples, seed: seed))
    let table = try rewardModel.map { path in
      let loaded = try ranks.load(path, layout: layout, world: world)
      return try BestOfNTable(
        try counts(), policy: policy,
        rewardModel: try world.agreeing { try RewardModel(loaded, for: policy) }, questions,
        prompts: prompts, seed: seed)
    }
    guard world.rank == 0 else { return }
    if json {
      var object = evaluation.json
      object["best_of"] = table?.json
      say(JSON.object(object).compact)
      return
    }
    say(evaluation.text)
    if let table { say(table.text) }
    for line in evaluation.examples.prefix(show) { say(line) }
  }
}
