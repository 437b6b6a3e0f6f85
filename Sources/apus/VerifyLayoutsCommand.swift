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
      rows show what rounding alone does. The relative error is \
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
  @OptionGroup var checking: CheckingOptions

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
    guard !mpi || MPIEnvironment.isLaunched else {
      throw ValidationError(
        "--mpi is for ranks that mpirun started, and there are none; accepted: --ranks N, or mpirun "
          + "-n N apus verify layouts … --mpi")
    }
  }

  func run() throws {
    guard let ranks else {
      return try RankOptions.runLaunched(isChecked: checking.checkCollectives, verify)
    }
    let check = try self.check()
    let pairs = try self.pairs(check, ranks: layout == nil ? 1...ranks : ranks...ranks)
    for pair in pairs { try fits(check, pair.layout, copies: pair.layout.ranks) }
    try report(check, pairs, isShown: true) { pair, precision, reference in
      try InProcessRanks.run(pair.layout.ranks, isChecked: checking.checkCollectives) { world in
        try check.finding(
          pair.layout, dispatch: pair.dispatch, precision: precision, reference: reference,
          on: world)
      }[0]
    }
  }

  /// The layouts of the ranks that mpirun started.
  private func verify(on world: Communicator) throws {
    let check = try world.agreeing { try self.check() }
    let run = check.configuration.run
    let watchdog = try RankStart(
      command: "verify", fields: [("configuration", check.configuration.canonicalText)],
      folder: run.folder, watchdogSeconds: run.watchdogSeconds
    ).begin(on: world)
    defer { withExtendedLifetime(watchdog) {} }
    let pairs = try world.agreeing {
      // Every rank computes what one rank alone does, before it is one of several.
      try fits(check, .single, copies: RankOptions.onThisMachine(inProcess: nil))
      return try self.pairs(check, ranks: world.size...world.size)
    }
    try report(check, pairs, isShown: world.rank == 0) { pair, precision, reference in
      try check.finding(
        pair.layout, dispatch: pair.dispatch, precision: precision, reference: reference, on: world)
    }
  }

  /// Takes every finding in turn. Throws `QuietExit` if not all pass.
  private func report(
    _ check: LayoutCheck, _ pairs: [Pair], isShown: Bool,
    finding: (Pair, Precision, LayoutMeasure) throws -> LayoutFinding
  ) throws {
    let report = LayoutReport(bar: bar, showsFloat32: float32, json: json, isShown: isShown)
    report.begin(check.configuration)
    for precision in float32 ? [Precision.float64, .float32] : [.float64] {
      let reference = try check.reference(precision)
      for pair in pairs where precision == .float64 || pair.dispatch == .exchange {
        report.add(try finding(pair, precision, reference))
      }
    }
    if !report.finish() { throw QuietExit(status: .failure) }
  }

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

  private func fits(_ check: LayoutCheck, _ layout: Layout, copies: Int) throws {
    do {
      try check.checkFits(layout, copies: copies)
    } catch var error as MemoryError {
      error.offer = shrink ? nil : "--shrink"
      throw error
    }
  }

  private typealias Pair = (layout: Layout, dispatch: ExpertDispatch)

  /// Legal layouts, each with every way to the experts. Throws `LayoutError` where
  /// none would be compared with one rank but that rank itself.
  private func pairs(_ check: LayoutCheck, ranks: ClosedRange<Int>) throws -> [Pair] {
    var wanted: [Layout]
    if let layout {
      let one = try Layout(
        layout, ranks: ranks.upperBound, suggesting: check.configuration.allows)
      try check.configuration.model.validate(one)
      try check.configuration.validate(one)
      wanted = [one]
    } else {
      let several = max(ranks.lowerBound, min(2, ranks.upperBound))...ranks.upperBound
      wanted = try check.layouts(ranks: several)
      if ranks.lowerBound < several.lowerBound { wanted.insert(.single, at: 0) }
    }
    return wanted.flatMap { layout in
      let ways: [ExpertDispatch] =
        layout.expert * layout.expertTensor > 1 && !check.configuration.model.expertLayers.isEmpty
        ? [.exchange, .overlapped, .gather] : [.exchange]
      return ways.map { (layout, $0) }
    }
  }
}
