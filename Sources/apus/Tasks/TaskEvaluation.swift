// What a task says of a policy: its answers' worth, beside a reference's, and how far it went.

import Kernels
import Parallel
import Stages
import Tasks
import Training
import Transformer

/// Figures of one policy on prompts that no training saw.
struct TaskEvaluation {
  /// How much is asked.
  struct Extent {
    var prompts = 500
    /// Answers to each.
    var samples = 1
    var seed: UInt64 = 1
  }

  let checkpoint: String
  let reference: String?
  let extent: Extent
  /// The task's metrics; the first is the true reward.
  let drawn: [MetricSummary]
  let greedy: [MetricSummary]
  let ended: Share
  let winRate: WinRate?
  /// Nats an answer: mean and interval.
  let divergence: (mean: Double, interval: Interval)?

  /// Some drawn answers, for people.
  let examples: [String]

  private static let keptExamples = 64

  /// Asks `loaded`, and `other` where there is one; every rank calls it alike.
  init(
    of loaded: LoadedModel, against other: LoadedModel?, _ questions: TaskQuestions,
    _ extent: Extent
  ) {
    let seed = extent.seed
    let asked = (0..<extent.prompts).map { questions.evaluation($0).tokens }
    let options = questions.sampling(seed: seed)
    let comparison = PolicyComparison(loaded.model, against: other?.model, mesh: loaded.mesh)
    let answers = comparison.ask(asked, samples: extent.samples, options)
    let greedy = comparison.greedy(asked, options)
    let task = questions.task
    checkpoint = loaded.path
    reference = other?.path
    self.extent = extent
    examples = zip(answers.prompts, answers.drawn).prefix(Self.keptExamples).map {
      questions.rendering(of: $1.tokens, to: $0)
    }
    drawn = task.summary(of: answers.drawn.map(\.tokens), to: answers.prompts, seed: seed)
    self.greedy = task.summary(of: greedy.map(\.tokens), to: asked, seed: seed)
    ended = Share(answers.ended, of: answers.drawn.count)
    guard other != nil else {
      (winRate, divergence) = (nil, nil)
      return
    }
    let worth = answers.rewards { task.gold($1, to: $0) }
    winRate = WinRate(worth.drawn, against: worth.reference, prompts: answers.prompts, seed: seed)
    let clusters = (0..<extent.prompts).flatMap { Array(repeating: $0, count: extent.samples) }
    divergence = (
      answers.divergences.reduce(0, +) / Double(answers.divergences.count),
      Interval.bootstrap(
        answers.divergences, clusters: clusters, key: RandomKey(seed: seed, name: "divergence"))
    )
  }

  /// The mean true reward of drawn answers.
  var reward: MetricSummary { drawn[0] }

  // MARK: - Text

  var text: String {
    let names = drawn.map(\.name)
    let wide = (names + ["divergence"]).map(\.count).max() ?? 0
    let table = TextTable(
      [
        TextColumn("", width: wide, side: .left), TextColumn("drawn", width: 8),
        TextColumn("95% interval", width: 18), TextColumn("greedy", width: 8),
      ], width: .max)
    func figure(_ value: Double) -> String { Figure.fixed(value, 3) }
    func ends(_ interval: Interval) -> String {
      "\(figure(interval.low)) to \(figure(interval.high))"
    }
    var rows = drawn.map { metric in
      [
        metric.name, figure(metric.mean), ends(metric.interval),
        greedy.first { $0.name == metric.name }.map { figure($0.mean) } ?? "",
      ]
    }
    if !names.contains("ended") {
      rows.append(["ended", figure(ended.rate), ends(ended.interval), ""])
    }
    if let divergence {
      rows.append(["divergence", figure(divergence.mean), ends(divergence.interval), ""])
    }
    if let winRate {
      rows.append(["win rate", figure(winRate.rate), ends(winRate.interval), ""])
    }
    let answers = extent.samples == 1 ? "an answer" : "\(extent.samples) answers"
    var lines = ["\(checkpoint): \(answers) to each of \(extent.prompts) prompts"]
    lines += ([table.titles] + rows.map(table.line)).map { "  " + $0 }
    if let reference, let winRate {
      lines.append(
        "win rate: \(winRate.wins) wins, \(winRate.ties) ties (half a win each), \(winRate.losses) "
          + "losses against \(reference)")
      lines.append("divergence: KL to it in nats an answer, exact over the vocabulary")
    }
    return lines.joined(separator: "\n")
  }

  // MARK: - JSON

  var json: JSONObject {
    var object = JSONObject([
      ("checkpoint", .string(checkpoint)), ("prompts", .integer(Int64(extent.prompts))),
      ("samples", .integer(Int64(extent.samples))), ("drawn", Self.json(drawn)),
      ("greedy", Self.json(greedy)),
      ("ended", Self.json("rate", ended.rate, ended.interval)),
    ])
    object["against"] = reference.map { .string($0) }
    object["win_rate"] = winRate.map { rate in
      Self.json(
        "rate", rate.rate, rate.interval,
        [("wins", rate.wins), ("ties", rate.ties), ("losses", rate.losses)])
    }
    object["kl"] = divergence.map { Self.json("mean", $0.mean, $0.interval) }
    return object
  }

  private static func json(_ metrics: [MetricSummary]) -> JSON {
    .object(
      JSONObject(
        metrics.map { ($0.name, json("mean", $0.mean, $0.interval, [("answers", $0.answers)])) }))
  }

  private static func json(
    _ name: String, _ value: Double, _ interval: Interval, _ counts: [(String, Int)] = []
  ) -> JSON {
    .object(
      JSONObject(
        [(name, .number(value)), ("low", .number(interval.low)), ("high", .number(interval.high))]
          + counts.map { ($0, .integer(Int64($1))) }))
  }
}
