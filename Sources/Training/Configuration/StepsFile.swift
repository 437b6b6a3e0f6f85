// A file that lists steps, each with settings for the run that it is: the form of a pipeline.

import Yams

/// Settings as `path=value`, in the order of a file.
package struct SettingList: Sendable {
  package var values: [(path: String, value: String)] = []

  package init() {}

  /// Arguments of `--set`; of what is said twice the later.
  package func overridden(by later: SettingList) -> SettingList {
    var result = self
    for (path, value) in later.values {
      result.values.removeAll { $0.path == path }
      result.values.append((path, value))
    }
    return result
  }

  package var arguments: [String] { values.map { "\($0.path)=\($0.value)" } }
}

/// A mapping of the head's settings, `settings` for all runs, and the list `steps`.
package struct StepsFile<Head: ConfigurationSection, Step: ConfigurationSection>: Sendable {
  /// One of the list.
  package struct Entry: Sendable {
    package let step: Step
    /// Paths that it says itself.
    package let said: [String]
    /// For its run.
    package let settings: SettingList
    /// `pipeline.yaml:12:5`
    package let place: String
  }

  package let head: Head
  package let settings: SettingList
  package let entries: [Entry]

  /// Reads the file. Sections that a step has in common with the head begin as the head's.
  package init(file: String) throws {
    let root: Node?
    do {
      root = try Yams.compose(yaml: ConfigurationFile.text(of: file), .default, .default, .utf8)
    } catch let error as YamlError {
      throw ConfigurationOverlay<Head>.syntaxError(error, file: file)
    }
    guard case .mapping(let mapping)? = root else {
      throw ConfigurationError(
        place: file, problem: "the file is no mapping", accepted: "a mapping with a list 'steps'")
    }
    let (own, settings) = try Self.parted(mapping, file: file)
    var overlay = ConfigurationOverlay<Head>()
    var list: Node?
    var headless = own
    if let steps = own["steps"] {
      list = steps
      headless["steps"] = nil
    }
    try overlay.read(.mapping(headless), file: file)
    guard case .sequence(let nodes)? = list, !nodes.isEmpty else {
      throw ConfigurationError(
        place: list.map { ConfigurationOverlay<Head>.place(of: $0, file: file) } ?? file,
        problem:
          "steps \(list.map { "is \(ConfigurationOverlay<Head>.shown($0))" } ?? "is missing")",
        accepted: "a list of steps")
    }
    head = overlay.resolved()
    self.settings = settings
    entries = try nodes.map { node in
      let place = ConfigurationOverlay<Step>.place(of: node, file: file)
      guard case .mapping(let mapping) = node else {
        throw ConfigurationError(
          place: place, problem: "a step is \(ConfigurationOverlay<Step>.shown(node))",
          accepted: "a mapping")
      }
      let (own, settings) = try Self.parted(mapping, file: file)
      var step = ConfigurationOverlay<Step>()
      try step.read(.mapping(own), file: file)
      let said = step.said
      step.fillSections(from: overlay)
      return Entry(step: step.resolved(), said: said, settings: settings, place: place)
    }
  }

  /// A mapping without its `settings`, and those.
  private static func parted(
    _ mapping: Node.Mapping, file: String
  ) throws -> (Node.Mapping, SettingList) {
    var own = mapping
    var list = SettingList()
    if let settings = mapping["settings"] {
      own["settings"] = nil
      try append(settings, path: "", to: &list, file: file)
    }
    return (own, list)
  }

  private static func append(
    _ node: Node, path: String, to list: inout SettingList, file: String
  ) throws {
    switch node {
    case .mapping(let mapping):
      for (key, value) in mapping {
        guard case .scalar(let name) = key else { continue }
        try append(
          value, path: path.isEmpty ? name.string : "\(path).\(name.string)", to: &list, file: file)
      }
    case .scalar(let scalar) where !path.isEmpty: list.values.append((path, scalar.string))
    case .sequence(let elements) where !path.isEmpty:
      let words = elements.compactMap(\.scalar?.string)
      list.values.append((path, "[\(words.joined(separator: ", "))]"))
    default:
      throw ConfigurationError(
        place: ConfigurationOverlay<Step>.place(of: node, file: file),
        problem:
          "settings\(path.isEmpty ? "" : ".\(path)") is \(ConfigurationOverlay<Step>.shown(node))",
        accepted: "a mapping of a run's settings")
    }
  }
}
