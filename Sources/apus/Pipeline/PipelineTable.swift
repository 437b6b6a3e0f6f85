// What came out of a pipeline: one row a step, as text, Markdown and JSON.

import Training

/// Rows in the order of the steps.
struct PipelineTable {
  private let name: String
  private let reference: String?
  private var rows: [[String]] = []
  private var objects: [JSON] = []
  private var seconds = 0.0

  private static let titles = [
    "step", "kind", "held out", "task reward", "win rate", "KL", "minutes",
  ]

  init(_ pipeline: Pipeline) {
    name = pipeline.name
    reference = pipeline.reference
  }

  mutating func add(_ step: Pipeline.Step, _ record: PipelineRecord, in pipeline: Pipeline) throws {
    seconds += record.seconds
    var object = JSONObject([
      ("step", .string(step.name)), ("kind", .string(step.kind.rawValue)),
      ("seconds", .number(record.seconds)),
    ])
    var heldOut = ""
    if step.kind.stage != nil {
      let history = try RunHistory(
        name: step.name, metrics: "\(pipeline.folder(of: step.name))/metrics.jsonl")
      if let bits = history.heldOutBitsPerCharacter.last?.y {
        heldOut = "\(Figure.fixed(bits, 3)) bits/char"
        object["bits_per_character"] = number(bits)
      } else if let loss = history.heldOutLoss.last?.y {
        heldOut = "loss \(Figure.fixed(loss, 3))"
      }
      object["held_out_loss"] = history.heldOutLoss.last.flatMap { number($0.y) }
    }
    for (note, value) in record.notes.sorted(by: { $0.key < $1.key }) {
      object[note] = .number(value)
    }
    if let accuracy = record.notes["pairs.bayes_accuracy"] {
      heldOut = "Bayes \(Figure.fixed(accuracy, 3))"
    }
    let judgement = record.judgement
    let drawn = judgement?["drawn"]?.asObject
    let reward = drawn?.names.first.flatMap { drawn?[$0] }
    object["evaluation"] = judgement
    rows.append([
      step.name, step.kind.rawValue, heldOut, Self.cell(reward, "mean"),
      Self.cell(judgement?["win_rate"], "rate"), Self.cell(judgement?["kl"], "mean"),
      Figure.fixed(record.seconds / 60, 2),
    ])
    objects.append(.object(object))
  }

  private func number(_ value: Double) -> JSON? { value.isFinite ? .number(value) : nil }

  /// `0.918 (0.907 to 0.929)`
  private static func cell(_ json: JSON?, _ name: String) -> String {
    guard let value = json?[name]?.asNumber, let low = json?["low"]?.asNumber,
      let high = json?["high"]?.asNumber
    else { return "" }
    func figure(_ value: Double) -> String { Figure.fixed(value, 3) }
    return "\(figure(value)) (\(figure(low)) to \(figure(high)))"
  }

  private var all: [[String]] {
    rows + [["all"] + Array(repeating: "", count: 5) + [Figure.fixed(seconds / 60, 2)]]
  }

  /// What the columns mean.
  private var meaning: String {
    "held out: bits per character, or loss; of pairs the best accuracy possible. Task reward: mean of "
      + "drawn answers. Win rate (ties half) and KL (exact, nats an answer) "
      + (reference.map { "against \($0)" } ?? "against nothing")
      + ". In brackets: 95% intervals."
  }

  var text: String {
    let columns = Self.titles.enumerated().map { index, title in
      TextColumn(
        title, width: all.map { $0[index].count }.max() ?? 0, side: index == 6 ? .right : .left)
    }
    let table = TextTable(columns, width: .max)
    return ([table.titles] + all.map(table.line) + [meaning]).joined(separator: "\n")
  }

  var markdown: String {
    func line(_ cells: [String]) -> String { "| \(cells.joined(separator: " | ")) |" }
    let head = [line(Self.titles), line(Self.titles.indices.map { $0 == 6 ? "---:" : "---" })]
    return (["# \(name)", ""] + head + all.map(line) + ["", meaning, ""]).joined(separator: "\n")
  }

  var json: JSON {
    .object(
      JSONObject([
        ("pipeline", .string(name)), ("seconds", .number(seconds)), ("steps", .array(objects)),
      ]))
  }
}
