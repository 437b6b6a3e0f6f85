// `apus compare`: the loss curves of several runs over each other, drawn and measured.

import ArgumentParser
import Foundation
import Training

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract:
      "Draws the loss curves of several runs in one SVG, and measures how far they lie apart.",
    discussion: """
      Runs that compute the same drift apart after some steps, since routing flips amplify rounding. \
      So --spread names runs that differ in the last bit of their first weights: the others' smoothed \
      curves may lie no further from those runs' mean than --within times the largest distance \
      between two of them. Without --spread the curves are drawn, and compared with the first.
      """)

  @Argument(help: "Folders of runs, which hold metrics.jsonl.")
  var runs: [String]
  @Option(help: "A run whose distance from others like it is the measure; may be repeated.")
  var spread: [String] = []
  @Option(help: "Bar of the distance, in spreads.")
  var within = 2.0
  @Option(help: "Steps at the start whose losses must agree singly, to the first run's.")
  var first = 20
  @Option(help: "Bar of their relative difference.")
  var firstWithin = 1e-5
  @Option(help: "SVG file to write.")
  var output: String?
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard spread.isEmpty || spread.count >= 2 else {
      throw ValidationError("--spread is given once; accepted: two runs or more")
    }
  }

  func run() throws {
    func history(_ path: String) throws -> RunHistory {
      try RunHistory(
        name: URL(fileURLWithPath: path).lastPathComponent, metrics: "\(path)/metrics.jsonl")
    }
    let all = try runs.map(history)
    let comparison = try CurveComparison(all, spread: try spread.map(history), first: first)
    if let output {
      let chart = Chart(
        runs: all, title: "Loss of \(all.count) runs", bands: comparison.band.map { [$0] } ?? [])
      try Disk().replace(output, with: Array(chart.svg.utf8))
    }
    let passes =
      comparison.firstDifference <= firstWithin
      && (comparison.distance.map { $0 <= within } ?? true)
    if json {
      say(
        JSON.object(
          JSONObject(
            [
              ("runs", .integer(Int64(all.count))),
              ("first_difference", number(comparison.firstDifference)),
            ] + (comparison.distance.map { [("distance_in_spreads", number($0))] } ?? [])
              + [("passes", .boolean(passes))])
        ).compact)
    } else {
      let bars = comparison.distance.map {
        "; farthest curve \(Figure.fixed($0, 2)) spreads away (bar \(Figure.fixed(within, 1)))"
      }
      say(
        "\(all.count) runs: first \(first) losses within "
          + "\(Figure.scientific(comparison.firstDifference, 1)) (bar "
          + "\(Figure.scientific(firstWithin, 0)))\(bars ?? ""): \(passes ? "passes" : "FAILS")")
    }
    if !passes { throw QuietExit(status: .failure) }
  }

  private func number(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }
}
