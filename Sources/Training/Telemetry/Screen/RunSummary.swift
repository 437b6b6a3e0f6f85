// The end of a run in a few lines: what was reached, how fast, where the time went.

import Foundation

/// Adds up the records of a run and says what came out.
public struct RunSummary: Sendable {
  private var steps = 0
  private var lastStep: StepRecord?
  private var tokens = 0
  private var stepSeconds = 0.0
  private var peakSeconds = 0.0
  private var phases: [(name: String, seconds: Double)] = []
  private var collectives: [CollectiveUse] = []
  private var evaluations: [EvaluationRecord] = []
  private var recentLosses: [Double] = []

  /// The final loss is the mean of so many steps.
  private static let recentSteps = 50

  public init() {}

  public mutating func add(_ record: StepRecord) {
    steps += 1
    lastStep = record
    tokens += record.tokens
    stepSeconds += record.timing.seconds
    peakSeconds += record.timing.seconds * record.timing.shareOfPeak
    if phases.isEmpty {
      phases = record.timing.phases
    } else {
      for (place, phase) in record.timing.phases.enumerated() {
        phases[place].seconds += phase.seconds
      }
    }
    for use in record.collectives {
      if let place = collectives.firstIndex(where: { $0.name == use.name }) {
        collectives[place].calls += use.calls
        collectives[place].bytes += use.bytes
        collectives[place].seconds += use.seconds
        collectives[place].minimum = use.minimum.map { $0 + (collectives[place].minimum ?? 0) }
      } else {
        collectives.append(use)
      }
    }
    if recentLosses.count == Self.recentSteps { recentLosses.removeFirst() }
    recentLosses.append(record.losses.perToken)
  }

  /// What the groups of ranks moved, a step.
  public func collectiveTable(width: Int) -> CollectiveTable {
    CollectiveTable(collectives, steps: steps, stepSeconds: stepSeconds, width: width)
  }

  public mutating func add(_ record: EvaluationRecord) { evaluations.append(record) }

  /// Lines with a label each. `files` are named in their order: ("curve", path).
  public func text(elapsed: Double, files: [(label: String, path: String)]) -> String {
    var rows: [(String, String)] = []
    if let lastStep {
      let end = lastStep.step == lastStep.totalSteps ? "done" : "stopped"
      rows.append(
        (
          end,
          "step \(lastStep.step) of \(lastStep.totalSteps), "
            + "\(Figure.count(Double(tokens))) tokens in \(Figure.duration(elapsed))"
        ))
      let mean = recentLosses.reduce(0, +) / Double(recentLosses.count)
      let span = recentLosses.count == 1 ? "last step" : "mean of the last \(recentLosses.count)"
      rows.append(("training loss", "\(Figure.fixed(mean, 4))  (\(span))"))
    }
    if let last = evaluations.last {
      rows.append(("held-out", RunSummary.describe(last)))
      let best = evaluations.min { $0.loss < $1.loss }
      if let best, best.step != last.step {
        rows.append(("best held-out", RunSummary.describe(best)))
      }
    }
    if stepSeconds > 0 {
      let share = Figure.percent(peakSeconds / stepSeconds)
      rows.append(
        (
          "speed",
          "\(Figure.count(Double(tokens) / stepSeconds)) tokens/s, \(share) of product peak"
        ))
      rows.append(("time", timeShares(elapsed: elapsed)))
    }
    if !collectives.isEmpty, steps > 0 {
      let uses = collectives.map { "\($0.name) \(Figure.bytes($0.bytes / steps))" }
      rows.append(("moved a step", uses.joined(separator: ", ")))
    }
    rows += files.map { ($0.label, $0.path) }
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { label, value in
      label + String(repeating: " ", count: width - label.count + 2) + value
    }.joined(separator: "\n") + "\n"
  }

  private static func describe(_ record: EvaluationRecord) -> String {
    let bits = record.bitsPerCharacter.map { ", bits/char \(Figure.fixed($0, 3))" } ?? ""
    return "loss \(Figure.fixed(record.loss, 4))\(bits) at step \(record.step)"
  }

  /// Of the whole time: the phases, what is left of the steps, and what passed between them.
  private func timeShares(elapsed: Double) -> String {
    let whole = max(elapsed, stepSeconds)
    let known = phases.reduce(0) { $0 + $1.seconds }
    let parts =
      phases + [("other", max(0, stepSeconds - known)), ("between steps", whole - stepSeconds)]
    return parts.filter { $0.seconds / whole >= 0.005 }
      .map { "\($0.name) \(Figure.percent($0.seconds / whole, 0))" }.joined(separator: ", ")
  }
}
