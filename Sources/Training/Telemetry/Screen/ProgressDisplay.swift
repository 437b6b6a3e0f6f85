// The progress of a run as text: a line a step, or one line that changes in place.

import Foundation

/// A figure of a stage that stands in the line of a step.
public struct StageColumn: Sendable {
  let title: String
  let figure: String

  public init(_ title: String, _ figure: String) {
    self.title = title
    self.figure = figure
  }
}

/// Makes what a run shows on the screen. Prints nothing: the caller writes each returned text as it
/// is, without a newline of its own.
public struct ProgressDisplay: Sendable {
  private let style: ScreenStyle
  private let totalSteps: Int
  private let stageColumns: [StageColumn]
  private let table: TextTable
  private var meter: RateMeter
  private var watch = RouterWatch()
  private var best: EvaluationRecord?
  /// What stands in the line that changes in place.
  private var liveLine = ""
  private var drawnAt = -Double.infinity
  private var linesSinceTitles = Int.max

  /// Titles come again after so many lines, so that they are on the screen.
  private static let linesPerTitle = 40

  /// `resumedStep` steps were done before this process started.
  public init(
    totalSteps: Int, resumedStep: Int = 0, columns: [StageColumn] = [], style: ScreenStyle
  ) {
    self.style = style
    stageColumns = columns
    self.totalSteps = totalSteps
    meter = RateMeter(totalSteps: totalSteps, resumedStep: resumedStep)
    let own = columns.map { TextColumn($0.title, width: 7) }
    let all = [
      TextColumn("step", width: 2 * String(totalSteps).count + 1),
      TextColumn("loss", width: 7),
      TextColumn("bits/char", width: 6, expendability: columns.isEmpty ? 2 : 8),
      TextColumn("lr", width: 8, expendability: 5),
      TextColumn("grad norm", width: 7, expendability: 4),
      TextColumn("tokens/s", width: 5, expendability: 1),
      TextColumn("peak", width: 6, expendability: 6),
      TextColumn("elapsed", width: 8, expendability: 7),
      TextColumn("left", width: 8, expendability: 3),
    ]
    table = TextTable(
      Array(all.prefix(2)) + own + all.dropFirst(2), width: ProgressDisplay.usable(style))
  }

  /// A live line must stay clear of the last column, where terminals wrap.
  private static func usable(_ style: ScreenStyle) -> Int {
    if case .live = style.flow { style.width - 1 } else { style.width }
  }

  /// Characters in a line.
  var width: Int { style.width }

  /// A step is done, `elapsed` seconds after this process started to train.
  public mutating func step(
    _ record: StepRecord, _ figures: [(name: String, value: Double)] = [], elapsed: Double
  ) -> String {
    meter.record(
      step: record.step, seconds: record.timing.seconds, tokens: record.tokens, elapsed: elapsed)
    let isLast = record.step == totalSteps
    switch style.flow {
    case .lines(let every):
      let isDue = record.step % max(1, every) == 0 || isLast || linesSinceTitles == Int.max
      return isDue ? titles() + line(record, figures, elapsed) + "\n" : ""
    case .live(let interval, let every):
      let stays = record.step % max(1, every) == 0 || isLast
      guard stays || elapsed - drawnAt >= interval else { return "" }
      drawnAt = elapsed
      let before = clear() + titles()
      let text = line(record, figures, elapsed)
      liveLine = stays ? "" : text
      return before + text + (stays ? "\n" : "")
    }
  }

  /// The table of a router, with warnings under it.
  public mutating func router(_ record: RouterRecord) -> String {
    linesSinceTitles = Self.linesPerTitle
    let warnings = watch.warnings(record).map { $0.line(style.glyphs, width: style.width) }
    let table = RouterTable(record, style: style).text
    return note(([table] + warnings).joined(separator: "\n"))
  }

  /// What the held-out text says.
  public mutating func evaluation(_ record: EvaluationRecord) -> String {
    let isBest = best.map { record.loss < $0.loss } ?? true
    var text = "held-out at step \(record.step): loss \(Figure.fixed(record.loss, 4))"
    if let bits = record.bitsPerCharacter { text += ", bits/char \(Figure.fixed(bits, 3))" }
    if let best, !isBest {
      text += " (best \(Figure.fixed(best.loss, 4)) at step \(best.step))"
    }
    text += ", took \(Figure.interval(record.seconds))"
    if isBest { best = record }
    return note(text)
  }

  /// Any other text on lines of its own: samples, warnings, where a checkpoint is. What a model
  /// wrote may hold characters that command the terminal; they are shown as `?`.
  public mutating func note(_ text: String) -> String {
    let ending = text.hasSuffix("\n") ? "" : "\n"
    return clear() + ProgressDisplay.printable(text) + ending + liveLine
  }

  private static func printable(_ text: String) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let isCommand =
        scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
      shown.append(isCommand ? "?" : scalar)
    }
    return String(shown)
  }

  /// Ends the live line, before something else takes the screen over.
  public mutating func close() -> String {
    defer { liveLine = "" }
    return liveLine.isEmpty ? "" : "\n"
  }

  private func clear() -> String { liveLine.isEmpty ? "" : "\r\u{1B}[K" }

  private mutating func titles() -> String {
    if case .live = style.flow, linesSinceTitles < Self.linesPerTitle, !liveLine.isEmpty {
      return ""
    }
    guard linesSinceTitles >= Self.linesPerTitle else {
      linesSinceTitles += 1
      return ""
    }
    linesSinceTitles = 1
    return table.titles + "\n"
  }

  private func line(
    _ record: StepRecord, _ figures: [(name: String, value: Double)], _ elapsed: Double
  ) -> String {
    let total = String(totalSteps)
    let step = String(record.step)
    let padding = String(repeating: " ", count: max(0, total.count - step.count))
    let speed = meter.tokensPerSecond ?? record.tokensPerSecond
    let own = stageColumns.map { column in
      figures.first { $0.name == column.figure }.map { Figure.fitted($0.value, 3, width: 7) } ?? ""
    }
    let beginning = [
      "\(padding)\(step)/\(total)", Figure.fitted(record.losses.perToken, 4, width: 7),
    ]
    return table.line(
      beginning + own + [
        record.losses.bitsPerCharacter.map { Figure.fitted($0, 3, width: 7) } ?? "",
        Figure.scientific(record.learningRate, 2),
        Figure.fitted(record.gradientNorm, 3, width: 7),
        Figure.count(speed),
        Figure.percent(record.timing.shareOfPeak),
        Figure.duration(elapsed),
        meter.timeLeft.map(Figure.duration) ?? "",
      ])
  }
}
