// How a run's configuration is loaded: file, then `--set`, then the range of every value.

import Foundation

extension RunConfiguration {
  /// Reads a YAML file and `--set` arguments over the defaults.
  ///
  /// Throws `ConfigurationError` for the first thing that cannot be used.
  public static func load(file: String, settings: [String] = []) throws -> RunConfiguration {
    var configuration = try read(
      yaml: ConfigurationFile.text(of: file), file: file, settings: settings)
    if configuration.run.name.isEmpty {
      configuration.run.name = ConfigurationFile.stem(of: file)
    }
    return configuration
  }

  /// Reads YAML text, which messages call `file`, and `--set` arguments over the defaults.
  public static func read(
    yaml: String, file: String, settings: [String] = []
  ) throws -> RunConfiguration {
    var overlay = ConfigurationOverlay<RunConfiguration>()
    try overlay.read(yaml: yaml, file: file)
    for setting in settings { try overlay.set(setting) }
    return try overlay.validated()
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
enum ConfigurationFile {
  /// More than any configuration needs; what is larger is some other file.
  static let largestBytes = 1 << 20

  static func text(of file: String) throws -> String {
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
