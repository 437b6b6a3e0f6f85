// `apus task curve`: what a policy's answers become worth while it follows a reward model.

import ArgumentParser
import Parallel
import Stages
import Tasks
import Training
import Transformer

struct TaskCurveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "curve",
    abstract: "Draw true reward and reward model's over the distance from the first policy.",
    discussion: """
      Takes every checkpoint of the runs, and best-of-n from the first policy beside them (Gao et al. \
      2023): where the true reward falls while the reward model's rises, the model is over-optimised.
      """)

  @OptionGroup var task: TaskOptions
  @Argument(help: "Folders of runs, all from the same first policy.")
  var runs: [String]
  @Option(help: "The first policy.")
  var against: String
  @Option(help: "The reward model that the runs followed.")
  var rewardModel: String
  @Option(help: "Numbers of answers to choose from.")
  var bestOf = "1,2,4,8,16,32,64"
  @Option(help: "Prompts to answer, one answer each.")
  var prompts = 500
  @Option(help: "Prompts to answer by best-of-n.")
  var bestOfPrompts = 100
  @Option(help: "Key of the random numbers.")
  var seed: UInt64 = 1
  @Option(help: "SVG file to write.")
  var output: String
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  /// A policy, or best-of-n, at some distance.
  private struct Point {
    let label: String
    /// √KL, √nats an answer.
    let distance: Double
    let gold: Double
    let proxy: Double
    var winRate: Double?
  }

  func validate() throws {
    for (name, value) in [("prompts", prompts), ("best-of-prompts", bestOfPrompts)] where value < 1
    {
      throw ValidationError("--\(name) is \(value); accepted: 1 or more")
    }
    _ = try BestOfNTable.counts(bestOf)
  }

  func run() throws {
    try ranks.run { world in try draw(on: world) }
  }

  private func draw(on world: Communicator) throws {
    let (settings, paths) = try world.agreeing {
      (try task.settings(), try runs.map(checkpoints))
    }
    let first = try ranks.load(against, layout: layout, world: world)
    let questions = try world.agreeing {
      let questions = try TaskQuestions(settings, for: first)
      try questions.checkEvaluation(max(prompts, bestOfPrompts))
      return questions
    }
    let loaded = try ranks.load(rewardModel, layout: layout, world: world)
    let judge = try world.agreeing { try RewardModel(loaded, for: first) }
    let curves = try paths.map { paths in
      try paths.map { path in
        try point(at: path, from: first, judge, questions, settings, world: world)
      }
    }
    let table = try BestOfNTable(
      try BestOfNTable.counts(bestOf), policy: first, rewardModel: judge, questions,
      prompts: bestOfPrompts, seed: seed)
    let best = table.rows.map {
      Point(
        label: "best of \($0.n)", distance: $0.divergence.squareRoot(), gold: $0.gold,
        proxy: $0.proxy)
    }
    try world.agreeing {
      guard world.rank == 0 else { return }
      try Disk().replace(output, with: Array(chart(curves, best).svg.utf8))
    }
    guard world.rank == 0 else { return }
    say(json ? JSON.object(object(curves, best)).compact : text(curves, best))
  }

  private func checkpoints(_ folder: String) throws -> [String] {
    let store = try CheckpointStore(folder: Disk.parent(of: folder), run: Disk.name(of: folder))
    let all = try store.checkpoints()
    guard !all.isEmpty else {
      throw FileError(folder, "has no checkpoint; accepted: a run with checkpoint.keep 0")
    }
    return try all.map { checkpoint in
      guard case .failure(let damage) = checkpoint.state else { return checkpoint.path }
      throw FileError(
        checkpoint.path, "is damaged (\(damage)); accepted: a run without it, once it is removed")
    }
  }

  private func point(
    at path: String, from first: LoadedModel, _ judge: RewardModel, _ questions: TaskQuestions,
    _ settings: TaskSettings, world: Communicator
  ) throws -> Point {
    let policy = try ranks.load(
      path, precision: first.device.precision, layout: layout, world: world)
    try world.agreeing { _ = try TaskQuestions(settings, for: policy) }
    let answers = PolicyComparison(policy.model, against: first.model, mesh: policy.mesh).ask(
      (0..<prompts).map { questions.evaluation($0).tokens }, samples: 1,
      questions.sampling(seed: seed))
    let worth = answers.rewards { questions.task.gold($1, to: $0) }
    let scores = try judge.score(answers.prompts, answers.drawn)
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    return Point(
      label: path, distance: max(mean(answers.divergences), 0).squareRoot(),
      gold: mean(worth.drawn), proxy: mean(scores),
      winRate: WinRate(worth.drawn, against: worth.reference, prompts: answers.prompts, seed: seed)
        .rate)
  }

  // MARK: - Text, JSON, picture

  private func text(_ curves: [[Point]], _ best: [Point]) -> String {
    let table = TextTable(
      [
        TextColumn(
          "policy", width: (curves.joined() + best).map(\.label.count).max() ?? 8, side: .left),
        TextColumn("√KL", width: 7), TextColumn("gold", width: 7), TextColumn("proxy", width: 7),
        TextColumn("win rate", width: 8),
      ], width: .max)
    let lines = (curves.joined() + best).map { point in
      table.line([
        point.label, Figure.fixed(point.distance, 3), Figure.fixed(point.gold, 3),
        Figure.fixed(point.proxy, 3), point.winRate.map { Figure.fixed($0, 3) } ?? "",
      ])
    }
    return ([table.titles] + lines + ["curve: \(output)"]).joined(separator: "\n")
  }

  private func object(_ curves: [[Point]], _ best: [Point]) -> JSONObject {
    func list(_ points: [Point]) -> JSON {
      .array(
        points.map { point in
          .object(
            JSONObject(
              [
                ("label", .string(point.label)), ("root_kl", .number(point.distance)),
                ("gold", .number(point.gold)), ("proxy", .number(point.proxy)),
              ] + (point.winRate.map { [("win_rate", .number($0))] } ?? [])))
        })
    }
    return JSONObject([("runs", .array(curves.map(list))), ("best_of", list(best))])
  }

  private func chart(_ curves: [[Point]], _ best: [Point]) -> Chart {
    let named = zip(runs.map(Disk.name(of:)), curves) + [("best of n", best)]
    func series(_ value: KeyPath<Point, Double>) -> [ChartSeries] {
      named.enumerated().map { index, curve in
        ChartSeries(
          curve.0, colour: index, stroke: .marked,
          points: curve.1.sorted { $0.distance < $1.distance }
            .map { ChartPoint($0.distance, $0[keyPath: value]) })
      }
    }
    return Chart(
      title: "Over-optimisation of a reward model", subtitle: "against \(Disk.name(of: against))",
      horizontal: "√KL to the first policy",
      legend: named.enumerated().map {
        Chart.Key($1.0, colour: $0, sample: .line(.marked))
      }, panel: ChartPanel("true reward", series: series(\.gold)),
      smallPanels: [ChartPanel("reward model", series: series(\.proxy))])
  }
}
