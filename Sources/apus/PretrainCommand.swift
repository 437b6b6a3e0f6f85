// `apus pretrain`: trains a model from a configuration; mpirun in front makes it parallel.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Stages
import Training

struct PretrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pretrain",
    abstract: "Trains a model on a corpus.",
    discussion: """
      One process is one rank that uses all cores; `mpirun -n N apus pretrain …` is N ranks, which \
      share the batch unless --layout splits the model. SIGUSR1, SIGINT and SIGTERM save and stop (exit status 75: go on with --resume); a second \
      SIGINT stops at once.
      """)

  @Argument(help: "Configuration file (YAML); `apus config` lists all settings.")
  var config: String
  @Option(help: "A setting as path=value, over the file's; may be repeated.")
  var set: [String] = []
  @Flag(help: "Go on from the newest complete checkpoint of the run.")
  var resume = false
  @Flag(
    help: """
      Show what each group of ranks moves and waits, beside the least it could, and write the run's \
      trace.json: a timeline of the last \(Trace.capacity) phases and collectives of each rank, for \
      ui.perfetto.dev.
      """)
  var profile = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func run() throws {
    // Made before anything starts threads.
    let stop = StopRequest()
    try ranks.run { world in try train(on: world, stop: stop) }
  }

  private func train(on world: Communicator, stop: StopRequest) throws {
    let (configuration, program) = try world.agreeing {
      (
        try RunConfiguration.load(file: config, settings: set, layout: layout, ranks: world.size),
        try Program.fingerprint()
      )
    }
    var environment = ProcessInfo.processInfo.environment
    // mpirun gives its ranks a pseudo-terminal, wherever its own output goes.
    if MPIEnvironment.isLaunched && !Program.parentWritesToTerminal { environment["TERM"] = "dumb" }
    let style = ScreenStyle(
      descriptor: STDOUT_FILENO, everySteps: configuration.display.every, environment: environment)
    let screen = RunScreen()
    var pretraining = Pretraining(configuration, style: style) { screen.show($0) }
    pretraining.isResuming = resume
    pretraining.isProfiling = profile
    pretraining.stop = stop
    pretraining.threads = RankOptions.threads(
      configuration.run.threads, world: world, inProcess: ranks.ranksInProcess)
    pretraining.ranksOnThisMachine = RankOptions.onThisMachine(inProcess: ranks.ranksInProcess)
    pretraining.handshake = [("program", program)]
    if case .stopped = try pretraining.run(on: world) {
      throw QuietExit(status: .savedAndNotFinished)
    }
  }
}

extension RunConfiguration {
  /// A file, settings over it, and a layout over those.
  static func load(
    file: String, settings: [String], layout: LayoutOptions, ranks: Int
  ) throws -> RunConfiguration {
    var configuration = try load(file: file, settings: settings)
    if let text = layout.layout { try configuration.layout.read(text, ranks: ranks) }
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
