// `apus verify layouts`: the proof that no layout of ranks changes what the user's model computes.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Text
import Training
import Transformer

struct LayoutsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layouts",
    abstract: "Compares every legal layout with one rank: first values, losses, every gradient.",
    discussion: """
      Initial weights must be equal bit for bit; losses, gradient norm, every parameter's gradient \
      and the weights after 3 steps of gradient descent within the bar, in float64. The float32 \
      column shows what rounding alone does. The relative error is \
      max|a - b| / max(max|b|, 1e-6 x the largest entry). Batches are random tokens.
      """)

  @Argument(help: "Configuration file (YAML), whose model, router and batch are taken.")
  var config: String
  @Option(help: "A setting as path=value, over the file's; may be repeated.")
  var set: [String] = []
  @Option(help: "Most ranks: layouts of 1 to so many, as threads of this process.")
  var ranks: Int?
  @Flag(help: "Layouts of the ranks that mpirun started, instead.")
  var mpi = false
  @Option(help: "One layout alone, e.g. tensor=2,expert=4 (with --ranks: of exactly so many).")
  var layout: String?
  @Flag(help: "Keep the model's options but shrink its sizes.")
  var shrink = false
  @Option(help: "Largest relative error that passes, in float64.")
  var bar = 1e-11
  @Flag(inversion: .prefixedNo, help: "Show float32 as well.")
  var float32 = true
  @Flag(help: "Print one JSON object a line instead of a table.")
  var json = false

  func validate() throws {
    guard mpi != (ranks != nil) else {
      throw ValidationError("give --ranks N (threads of this process), or --mpi under mpirun")
    }
    if let ranks, !(1...64).contains(ranks) {
      throw ValidationError("--ranks is \(ranks); accepted: 1 to 64")
    }
    if ranks != nil && MPIEnvironment.isLaunched {
      throw ValidationError("--ranks is for one process; mpirun started several: give --mpi")
    }
  }

  func run() throws {
    let report = LayoutReport(bar: bar, showsFloat32: float32, json: json)
    if mpi {
      try RankOptions.runLaunched { world in
        let check = try world.agreeing { try self.check() }
        let layouts = try world.agreeing { try self.layouts(check, ranks: world.size) }
        if world.rank == 0 { report.begin(check.configuration) }
        for precision in precisions {
          // One rank alone, the same on every rank.
          let reference = try check.reference(precision)
          for (layout, dispatch) in layouts where precision == .float64 || dispatch != .gather {
            let finding = try check.finding(
              layout, dispatch: dispatch, precision: precision, reference: reference, on: world)
            if world.rank == 0 { report.add(finding) }
          }
        }
        guard world.rank == 0 ? report.finish() : report.isSilent else {
          throw QuietExit(status: .failure)
        }
      }
      return
    }
    let check = try check()
    report.begin(check.configuration)
    let counts = layout == nil ? Array(1...ranks!) : [ranks!]
    let all = try counts.map { ($0, try layouts(check, ranks: $0)) }
    for precision in precisions {
      let reference = try check.reference(precision)
      for (count, layouts) in all {
        for (layout, dispatch) in layouts where precision == .float64 || dispatch != .gather {
          let findings = try InProcessRanks.run(count) { world in
            try check.finding(
              layout, dispatch: dispatch, precision: precision, reference: reference, on: world)
          }
          report.add(findings[0])
        }
      }
    }
    if !report.finish() { throw QuietExit(status: .failure) }
  }

  private var precisions: [Precision] { float32 ? [.float64, .float32] : [.float64] }

  private func check() throws -> LayoutCheck {
    var configuration = try RunConfiguration.load(file: config, settings: set)
    if shrink { configuration = configuration.shrunk }
    if configuration.model.vocabulary == 0 {
      configuration.model.vocabulary =
        try Tokenizer(contentsOf: configuration.data.tokenizer).vocabularySize
    }
    try configuration.validate()
    try configuration.model.validate()
    return LayoutCheck(configuration)
  }

  /// Legal layouts, each with both ways to the experts where there are two.
  private func layouts(
    _ check: LayoutCheck, ranks: Int
  ) throws -> [(layout: Layout, dispatch: ExpertDispatch)] {
    let wanted: [Layout]
    if let layout {
      let one = try Layout(layout, ranks: ranks)
      try check.configuration.model.validate(one)
      try check.configuration.validate(one)
      wanted = [one]
    } else {
      wanted = Layout.all(ranks: ranks).filter(check.allows)
    }
    return wanted.flatMap { layout in
      let ways: [ExpertDispatch] =
        layout.expert * layout.expertTensor > 1 && !check.configuration.model.expertLayers.isEmpty
        ? [.exchange, .gather] : [.exchange]
      return ways.map { (layout, $0) }
    }
  }
}

/// The table of findings, a line at a time.
private final class LayoutReport {
  private let bar: Double
  private let showsFloat32: Bool
  private let json: Bool
  private var findings: [LayoutFinding] = []

  init(bar: Double, showsFloat32: Bool, json: Bool) {
    self.bar = bar
    self.showsFloat32 = showsFloat32
    self.json = json
  }

  /// Whether nothing was added: this is not rank 0.
  var isSilent: Bool { findings.isEmpty }

  func begin(_ configuration: RunConfiguration) {
    guard !json else { return }
    let model = configuration.model
    say(
      "\(model.layers) layers of \(model.width), \(model.heads) heads, \(model.keyValueHeads) "
        + "key/value heads, \(model.router.experts) experts, top-\(model.router.expertsPerToken); "
        + "batch \(configuration.training.batch) x \(configuration.data.sequenceLength)"
        + (configuration.training.microBatch > 0
          ? " in micro-batches of \(configuration.training.microBatch)" : ""))
    say(
      "precision  ranks data tensor expert-data expert expert-tensor  dispatch  init  loss     "
        + "norm     gradient (worst parameter)")
  }

  func add(_ finding: LayoutFinding) {
    findings.append(finding)
    let layout = finding.layout
    if json {
      say(
        JSON.object(
          JSONObject(
            [
              ("layout", .string(layout.description)), ("ranks", .integer(Int64(layout.ranks))),
              ("dispatch", .string(finding.dispatch.rawValue)),
              ("precision", .string(finding.precision.rawValue)),
              ("initial_weights_equal", .boolean(finding.unequal.isEmpty)),
            ] + finding.terms.map { ($0.name, number($0.relative)) } + [
              ("gradient", number(finding.gradient.relative)),
              ("gradient_parameter", .string(finding.gradient.parameter)),
              ("weights", number(finding.weights.relative)),
              ("weights_parameter", .string(finding.weights.parameter)),
              ("passes", .boolean(finding.precision == .float32 || finding.passes(bar: bar))),
            ])
        ).compact)
      return
    }
    func column(_ value: CustomStringConvertible, _ width: Int) -> String {
      let text = value.description
      return String(repeating: " ", count: max(0, width - text.count)) + text
    }
    func term(_ name: String) -> String {
      Figure.scientific(finding.terms.first { $0.name == name }!.relative, 1)
    }
    let fails = finding.precision == .float64 && !finding.passes(bar: bar)
    say(
      "\(finding.precision.rawValue)   \(column(layout.ranks, 5))\(column(layout.data, 5))"
        + "\(column(layout.tensor, 7))\(column(layout.expertData, 12))\(column(layout.expert, 7))"
        + "\(column(layout.expertTensor, 14))  \(column(finding.dispatch.rawValue, 8))  "
        + (finding.unequal.isEmpty ? "same" : "DIFFERS in \(finding.unequal[0])")
        + "  \(term("loss"))  \(term("norm"))  \(Figure.scientific(finding.gradient.relative, 1)) "
        + "\(finding.gradient.parameter)" + (fails ? "  FAILS" : ""))
  }

  /// Says the verdict: whether all of float64 passes.
  func finish() -> Bool {
    let exact = findings.filter { $0.precision == .float64 }
    let passes = exact.allSatisfy { $0.passes(bar: bar) }
    let layouts = Set(exact.map(\.layout)).count
    func worst(_ precision: Precision) -> Double {
      findings.filter { $0.precision == precision }.map(\.largest).max() ?? 0
    }
    if json {
      say(
        JSON.object(
          JSONObject([
            ("layouts", .integer(Int64(layouts))), ("worst", number(worst(.float64))),
            ("bar", .number(bar)), ("passes", .boolean(passes)),
          ])
        ).compact)
      return passes
    }
    say(
      "\(layouts) layouts, \(exact.count) with both ways to the experts; worst relative difference "
        + "\(Figure.scientific(worst(.float64), 1)) in float64 (bar \(Figure.scientific(bar, 0)))"
        + (showsFloat32 ? ", \(Figure.scientific(worst(.float32), 1)) in float32" : "")
        + ": \(passes ? "passes" : "FAILS")")
    return passes
  }

  private func number(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }
}
