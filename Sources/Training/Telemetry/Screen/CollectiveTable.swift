// What the groups of ranks moved, and the time in their calls, as a small table: an average step of one
// rank.

/// One row a group; bytes sent stand beside the fewest that the formulas allow.
public struct CollectiveTable: Sendable {
  private let uses: [CollectiveUse]
  private let steps: Int
  private let stepSeconds: Double
  private let width: Int

  /// `uses` of `steps` steps, which took `stepSeconds` together.
  init(_ uses: [CollectiveUse], steps: Int, stepSeconds: Double, width: Int) {
    self.uses = uses
    self.steps = max(steps, 1)
    self.stepSeconds = stepSeconds
    self.width = width
  }

  /// Lines without a newline at the end; empty where nothing was moved.
  public var text: String {
    guard !uses.isEmpty else { return "" }
    let table = TextTable(
      [
        TextColumn("group", width: uses.map(\.name.count).max() ?? 0, side: .left),
        TextColumn("calls", width: 5, expendability: 3),
        TextColumn("sent", width: 8),
        TextColumn("least", width: 8, expendability: 1),
        TextColumn("sent/least", width: 6, expendability: 2),
        TextColumn("in calls", width: 8),
        TextColumn("of step", width: 6, expendability: 4),
      ], width: width)
    let rows = uses.map { use in
      table.line([
        use.name, Figure.count(Double(use.calls) / Double(steps)), Figure.bytes(use.bytes / steps),
        use.minimum.map { Figure.bytes($0 / steps) } ?? "",
        use.minimum.map { Figure.fixed(Double(use.bytes) / Double(max($0, 1)), 3) } ?? "",
        Figure.interval(use.seconds / Double(steps)),
        stepSeconds > 0 ? Figure.percent(use.seconds / stepSeconds) : "",
      ])
    }
    return (["collectives of a step on rank 0", table.titles] + rows).joined(separator: "\n")
  }
}
