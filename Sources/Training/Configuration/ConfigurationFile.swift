// How a run's configuration is loaded: file, then `--set`, then the range of every value.

import Foundation
import Transformer

extension RunConfiguration {
  /// Reads a YAML file and `--set` arguments over the defaults.
  ///
  /// Throws `ConfigurationError` for the first thing that cannot be used.
  public static func load(file: String, settings: [String] = []) throws -> RunConfiguration {
    try named(
      for: file,
      read(yaml: ConfigurationFile.text(of: file), file: file, settings: settings))
  }

  /// The same for a run of `stage`, whose model is that of `data.start` where nothing else is said.
  ///
  /// Throws `FileError` for a start that is no checkpoint.
  public static func load(
    file: String, settings: [String] = [], stage: StageName
  ) throws -> RunConfiguration {
    try read(yaml: ConfigurationFile.text(of: file), file: file, settings: settings, stage: stage)
  }

  /// The same from YAML text, which messages call `file`.
  package static func read(
    yaml: String, file: String, settings: [String], stage: StageName
  ) throws -> RunConfiguration {
    var overlay = try Self.overlay(yaml: yaml, file: file, settings: settings)
    let said = overlay.place(of: "run.stage")
    let read = overlay.resolved()
    guard said == "default" || read.run.stage == stage else {
      throw ConfigurationError(
        place: said, problem: "run.stage is \(read.run.stage.rawValue)",
        accepted: "\(stage.rawValue), which the subcommand says, or nothing")
    }
    overlay.fill("run.stage", SettingValue(stage)!, place: "apus \(stage.rawValue)")
    if stage == .reward {
      overlay.fill("model.scalarHead", SettingValue(ScalarHead.zero)!, place: "apus reward")
    }
    if stage == .ppo || stage == .grpo {
      // Balance pulls at rewards; who wants it says so.
      overlay.fill(
        "model.router.balanceCoefficient", SettingValue(0.0)!, place: "apus \(stage.rawValue)")
    }
    if let start = try StartCheckpoint(read) {
      for setting in start.configuration.model.settings {
        overlay.fill("model.\(setting.path)", setting.value, place: start.folder.path)
      }
    }
    return try named(for: file, overlay.validated())
  }

  private static func named(
    for file: String, _ configuration: RunConfiguration
  ) -> RunConfiguration {
    var configuration = configuration
    if configuration.run.name.isEmpty {
      configuration.run.name = ConfigurationFile.stem(of: file)
    }
    return configuration
  }

  /// Reads YAML text, which messages call `file`, and `--set` arguments over the defaults.
  public static func read(
    yaml: String, file: String, settings: [String] = []
  ) throws -> RunConfiguration {
    try overlay(yaml: yaml, file: file, settings: settings).validated()
  }

  /// All text of what YAML and `--set` arguments say, before ranges are looked at.
  package static func text(
    yaml: String, file: String, settings: [String]
  ) throws -> [(path: String, value: String)] {
    try overlay(yaml: yaml, file: file, settings: settings).resolved().settings.compactMap {
      if case .text(let value) = $0.value { ($0.path, value) } else { nil }
    }
  }

  private static func overlay(
    yaml: String, file: String, settings: [String]
  ) throws -> ConfigurationOverlay<RunConfiguration> {
    var overlay = ConfigurationOverlay<RunConfiguration>()
    try overlay.read(yaml: yaml, file: file)
    for setting in settings { try overlay.set(setting) }
    return overlay
  }

  /// The defaults, changed by `--set` arguments alone.
  public static func read(settings: [String]) throws -> RunConfiguration {
    var overlay = ConfigurationOverlay<RunConfiguration>()
    for setting in settings { try overlay.set(setting) }
    return try overlay.validated()
  }
}

extension ConfigurationOverlay where Root == RunConfiguration {
  /// The configuration with every value in range; an error says where the value was read.
  fileprivate func validated() throws -> RunConfiguration {
    let configuration = resolved()
    do {
      try configuration.validate()
    } catch let error as SettingRangeError {
      throw ConfigurationError(
        place: place(of: error.field), problem: "\(error.field) is \(error.value)",
        accepted: error.accepted)
    }
    return configuration
  }
}

/// The text of a configuration file.
package enum ConfigurationFile {
  /// More than any configuration needs; what is larger is some other file.
  static let largestBytes = 1 << 20

  package static func text(of file: String) throws -> String {
    func failure(_ problem: String) -> ConfigurationError {
      ConfigurationError(
        place: file, problem: problem, accepted: "a readable YAML file in UTF-8")
    }
    let bytes: [UInt8]
    do {
      bytes = try ReadableFile.contents(file, atMost: largestBytes)
    } catch let error as FileError {
      throw failure(error.problem)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw failure("is not UTF-8 text")
    }
    return text
  }

  /// The file's name without folder and ending, made of what a run's name may hold.
  static func stem(of file: String) -> String {
    let name = URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
    let kept = String(name.map { RunSettings.isNameCharacter($0) ? $0 : "-" })
    return RunSettings.isName(kept) ? kept : "run"
  }
}
