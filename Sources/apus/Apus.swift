// The command: its subcommands, its version, and how it ends.

import ArgumentParser
import Kernels

@main
struct Apus: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus",
    abstract: "Trains small mixture-of-experts transformers on plain processors.",
    version: "0.1.0",
    subcommands: [
      PretrainCommand.self, SFTCommand.self, RewardCommand.self, DPOCommand.self,
      PPOCommand.self, GRPOCommand.self, GenerateCommand.self, EvaluateCommand.self,
      TaskCommand.self, RedTeamCommand.self, PipelineCommand.self, TokenizerCommand.self,
      DumpCommand.self, ImportCommand.self, ExportCommand.self, VerifyCommand.self,
      CheckpointCommand.self, ConfigCommand.self, BenchmarkCommand.self, CompareCommand.self,
    ])

  /// Parses, runs, and turns whatever is thrown into one line and an exit status.
  static func main() {
    StandardStreams.openMissing()
    StandardStreams.outliveReaders()
    do {
      var command = try parseAsRoot()
      // Dies of an illegal instruction otherwise, sooner or later.
      if let feature = missingProcessorFeature { throw ProcessorError(feature: feature) }
      try command.run()
    } catch {
      Failure.exit(with: error)
    }
  }
}
