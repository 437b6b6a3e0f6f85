// What a run leaves behind and shows: metrics, TensorBoard events, the screen, the curve. Rank 0 only.

import Foundation
import Parallel

/// Writes a run's records to its files and, as text, to a closure. Makes nothing on other ranks.
public final class RunOutput {
  private let folder: String
  private let name: String
  private let metrics: MetricsLog
  private let events: TensorBoardLog
  private var display: ProgressDisplay
  private var summary = RunSummary()
  private let print: (String) -> Void
  private let start = ContinuousClock.now

  /// Files of the run in `folder`. A run that goes on drops what they say of steps after
  /// `resumedStep`; one that starts anew begins metrics, events and curve anew, whatever a run that
  /// died before its first save has left there.
  public init(
    name: String, folder: String, totalSteps: Int, resumedStep: Int?, columns: [StageColumn] = [],
    style: ScreenStyle, print: @escaping (String) -> Void
  ) throws {
    self.folder = folder
    self.name = name
    self.print = print
    try Disk().makeFolder(folder)
    let path = "\(folder)/metrics.jsonl"
    if let resumedStep {
      metrics = try MetricsLog(resuming: path, after: resumedStep)
    } else {
      metrics = try MetricsLog(creating: path)
    }
    events = try TensorBoardLog(folder: folder, resumedStep: resumedStep)
    display = ProgressDisplay(
      totalSteps: totalSteps, resumedStep: resumedStep ?? 0, columns: columns, style: style)
    if resumedStep == nil { try Disk().remove(curve) }
  }

  /// Whether the files have the evaluation of the step that a resumed run goes on from.
  public var holdsResumedEvaluation: Bool { metrics.resumption?.isEvaluated ?? false }

  private var curve: String { "\(folder)/curve.svg" }

  /// Seconds since the output was made.
  public var elapsed: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// `figures` are the stage's own, of which the screen shows its columns.
  public func step(
    _ record: StepRecord, _ figures: [(name: String, value: Double)] = []
  ) throws {
    try metrics.append(record)
    try events.append(record)
    summary.add(record)
    print(display.step(record, figures, elapsed: elapsed))
  }

  public func router(_ record: RouterRecord) throws {
    try metrics.append(record)
    try events.append(record)
    print(display.router(record))
  }

  public func evaluation(_ record: EvaluationRecord) throws {
    try metrics.append(record)
    try events.append(record)
    summary.add(record)
    print(display.evaluation(record))
  }

  /// Into the files alone; the screen has the loss, and what a stage notes.
  public func stage(_ record: StageRecord) throws {
    guard !record.figures.isEmpty else { return }
    try metrics.append(record)
    try events.append(record)
  }

  /// Writes a timeline of all ranks, and shows what the groups of ranks moved.
  public func profile(_ traces: [RankTrace]) throws {
    let path = "\(folder)/trace.json"
    try Disk().replace(path, with: ChromeTrace.json(traces))
    let table = summary.collectiveTable(width: display.width).text
    if !table.isEmpty { note(table) }
    note("timeline: \(path); open it at ui.perfetto.dev")
  }

  /// Text on lines of its own: samples, where a checkpoint is.
  public func note(_ text: String) { print(display.note(text)) }

  /// Makes the files durable, before a checkpoint says that they reach so far.
  public func synchronize() throws {
    try metrics.synchronize()
    try events.synchronize()
  }

  /// Draws the curve and says what came out.
  public func finish(checkpoint: String?) throws {
    try synchronize()
    let history = try RunHistory(name: name, metrics: metrics.path)
    try Disk().replace(curve, with: Array(Chart(runs: [history], title: name).svg.utf8))
    print(display.close())
    var files = [("curve", curve), ("metrics", metrics.path), ("TensorBoard", folder)]
    if let checkpoint { files.append(("checkpoint", checkpoint)) }
    print("\n" + summary.text(elapsed: elapsed, files: files))
  }
}
