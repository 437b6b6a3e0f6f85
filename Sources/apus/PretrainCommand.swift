// `apus pretrain`: trains a model from a configuration; mpirun in front makes it parallel.

import ArgumentParser

struct PretrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pretrain",
    abstract: "Trains a model on a corpus.",
    discussion: """
      One process is one rank that uses all cores; `mpirun -n N apus pretrain …` is N ranks, which \
      share the batch unless --layout splits the model. SIGUSR1, SIGINT and SIGTERM save and stop (exit status 75: go on with --resume); a second \
      SIGINT stops at once.
      """)

  @OptionGroup var options: TrainingOptions

  func run() throws { try options.run(.pretrain) }
}
