// `apus config`: all settings with defaults and meanings, or those of a file.

import ArgumentParser
import Training

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Prints every setting with its value and meaning.",
    discussion: """
      Without a file these are the defaults. What is printed is itself a configuration; a file needs \
      to hold only what differs from the defaults.
      """)

  @Argument(help: "A configuration; its values are shown over the defaults.")
  var file: String?

  @Option(name: .customLong("set"), help: "A setting as path=value; may be repeated.")
  var settings: [String] = []

  @Flag(help: "Prints values alone, without meanings.")
  var bare = false

  func run() throws {
    let configuration =
      if let file {
        try RunConfiguration.load(file: file, settings: settings)
      } else {
        try RunConfiguration.read(settings: settings)
      }
    say(bare ? configuration.yaml : configuration.commentedYAML, terminator: "")
  }
}
