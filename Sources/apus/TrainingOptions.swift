// What every command that trains takes, and how it runs its stage.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Stages
import Training

/// Arguments of every command that trains.
struct TrainingOptions: ParsableArguments {
  @Argument(help: "Configuration file (YAML); `apus config` lists all settings.")
  var config: String
  @Option(help: "A setting as path=value, over the file's; may be repeated.")
  var set: [String] = []
  @Flag(help: "Go on from the newest complete checkpoint of the run.")
  var resume = false
  @Flag(
    help: """
      Show what each group of ranks moves, beside the least it could, and its time in calls, and write \
      the run's trace.json: a timeline of the last \(Trace.capacity) phases and collectives of each \
      rank, and as many kernels, for ui.perfetto.dev.
      """)
  var profile = false
  @Flag(help: "Leave out examples that cannot be used, and say how many, instead of refusing them.")
  var skipBadLines = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  /// Runs a stage on every rank.
  func run(_ stage: StageName) throws {
    // Made before anything starts threads.
    let stop = StopRequest()
    try ranks.run { world in
      let (configuration, program) = try world.agreeing {
        (try read(for: stage, ranks: world.size), try Program.fingerprint())
      }
      var start = StageStart(ranks: ranks, program: program, stop: stop)
      start.isResuming = resume
      start.isProfiling = profile
      if case .stopped = try start.run(configuration, on: world) {
        throw QuietExit(status: .savedAndNotFinished)
      }
    }
  }

  private func read(for stage: StageName, ranks: Int) throws -> RunConfiguration {
    var configuration = try RunConfiguration.load(
      file: config, settings: set + (skipBadLines ? ["examples.skipBadLines=true"] : []),
      stage: stage)
    try configuration.takeLayout(layout.layout, ranks: ranks)
    return configuration
  }
}

/// How the command starts a stage on a rank: its screen, threads, and what must be equal everywhere.
struct StageStart {
  let ranks: RankOptions
  /// The program's fingerprint.
  let program: String
  let stop: StopRequest
  var isResuming = false
  var isProfiling = false

  /// Runs the stage that the configuration names.
  func run(_ configuration: RunConfiguration, on world: Communicator) throws -> RunOutcome {
    let name = configuration.run.stage
    var environment = ProcessInfo.processInfo.environment
    // mpirun gives its ranks a pseudo-terminal, wherever its own output goes.
    if MPIEnvironment.isLaunched && !Program.parentWritesToTerminal { environment["TERM"] = "dumb" }
    let style = ScreenStyle(
      descriptor: STDOUT_FILENO, everySteps: configuration.display.every, environment: environment)
    let screen = RunScreen()
    var run = StageRun(name.stage, configuration, style: style) { screen.show($0) }
    run.make = { try name.make($0, over: $1) }
    run.isResuming = isResuming
    run.isProfiling = isProfiling
    run.stop = stop
    run.threads = RankOptions.threads(
      configuration.run.threads, inProcess: ranks.ranksInProcess)
    run.ranksOnThisMachine = RankOptions.onThisMachine(inProcess: ranks.ranksInProcess)
    run.handshake = [("program", program)]
    return try run.run(on: world)
  }
}

extension RunConfiguration {
  /// A file, settings over it, and a layout over those.
  static func load(
    file: String, settings: [String], layout: LayoutOptions, ranks: Int
  ) throws -> RunConfiguration {
    var configuration = try load(file: file, settings: settings)
    try configuration.takeLayout(layout.layout, ranks: ranks)
    return configuration
  }
}

/// The running program and who started it.
enum Program {
  /// Whether standard output of the process that started this one is a terminal.
  static var parentWritesToTerminal: Bool {
    let target = try? FileManager.default.destinationOfSymbolicLink(
      atPath: "/proc/\(getppid())/fd/1")
    return target.map { $0.hasPrefix("/dev/pts/") || $0.hasPrefix("/dev/tty") } ?? false
  }

  /// SHA-256 of the executable.
  static func fingerprint() throws -> String {
    try Digest.sha256(file: "/proc/self/exe")
  }
}

/// The program needs instructions that the processor lacks.
struct ProcessorError: Error, CustomStringConvertible {
  let feature: String
  var description: String {
    "this program was built for processors with \(feature), which this one lacks; "
      + "build it here with launch/build.sh"
  }
}
