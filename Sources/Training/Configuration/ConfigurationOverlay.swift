// What a YAML file and `--set` say, checked and laid over the defaults of a configuration.

import Foundation
import Yams

/// Values of settings that were read, and where each was read.
package struct ConfigurationOverlay<Root: ConfigurationSection> {
  private var tree = SettingTree(root: Root())
  private var values: [String: SettingValue] = [:]
  private var places: [String: String] = [:]

  package init() {}

  /// The configuration: defaults, and over them what was read.
  package func resolved() -> Root {
    do {
      return try YAMLDecoder().decode(Root.self, from: Self.node(tree.replacing(values)))
    } catch {
      fatalError("a checked tree of settings does not decode: \(error)")
    }
  }

  private static func node(_ tree: SettingTree) -> Node {
    switch tree.content {
    case .value(let value): value.node
    case .section(let children):
      Node(children.map { (Node(String($0.name), Tag(.str)), node($0)) })
    }
  }

  /// Gives a setting that was not read a value which comes from somewhere else.
  mutating func fill(_ path: String, _ value: SettingValue, place: String) {
    guard places[path] == nil else { return }
    values[path] = value
    places[path] = place
  }

  /// Settings that were read, by name.
  var said: [String] { places.keys.sorted() }

  /// Takes what `other` read of sections that this configuration has as well.
  mutating func fillSections<Other>(from other: ConfigurationOverlay<Other>) {
    for (path, value) in other.values where path.contains(".") && tree.find(path) != nil {
      fill(path, value, place: other.place(of: path))
    }
  }

  /// Where a setting was read, or `default`.
  package func place(of path: String) -> String {
    // A range check may name one element or a derived value below the setting.
    var path = Substring(path)
    while true {
      if let place = places[String(path)] { return place }
      guard let dot = path.lastIndex(of: ".") else { return "default" }
      path = path[..<dot]
    }
  }

  // MARK: A file

  /// Reads a YAML document; `file` is how messages name it.
  package mutating func read(yaml: String, file: String) throws {
    let root: Node?
    do {
      root = try Yams.compose(yaml: yaml, .default, .default, .utf8)
    } catch let error as YamlError {
      throw Self.syntaxError(error, file: file)
    }
    guard let root else {
      throw ConfigurationError(
        place: file, problem: "the file holds no settings",
        accepted: "at least one of the sections \(Self.names(tree.children))")
    }
    try read(root, file: file)
  }

  /// Reads a part of a document.
  mutating func read(_ node: Node, file: String) throws {
    try read(node, as: tree, file: file)
  }

  private mutating func read(_ node: Node, as known: SettingTree, file: String) throws {
    let place = Self.place(of: node, file: file)
    switch known.content {
    case .value(let current):
      guard let value = current.reading(node) else {
        throw ConfigurationError(
          place: place, problem: "\(known.path) is \(Self.shown(node))", accepted: current.accepted)
      }
      values[known.path] = value
      places[known.path] = place
    case .section(let children):
      if case .scalar(let scalar) = node, scalar.string.isEmpty { return }
      guard case .mapping(let mapping) = node else {
        let subject = known.path.isEmpty ? "the file" : known.path
        throw ConfigurationError(
          place: place, problem: "\(subject) is \(Self.shown(node))",
          accepted: "a mapping of \(Self.names(children))")
      }
      for (key, value) in mapping {
        let keyPlace = Self.place(of: key, file: file)
        guard case .scalar(let name) = key else {
          throw ConfigurationError(
            place: keyPlace, problem: "a key is \(Self.shown(key))",
            accepted: "names: \(Self.names(children))")
        }
        guard let child = children.first(where: { $0.name == name.string }) else {
          throw unknown(name.string, in: known, place: keyPlace)
        }
        try read(value, as: child, file: file)
      }
    }
  }

  static func place(of node: Node, file: String) -> String {
    node.mark.map { "\(file):\($0.line):\($0.column)" } ?? file
  }

  static func shown(_ node: Node) -> String {
    switch node {
    case .scalar(let scalar):
      if scalar.string.isEmpty && scalar.style == .plain { return "empty" }
      let text = scalar.string.count > 60 ? scalar.string.prefix(60) + "…" : scalar.string
      return scalar.style == .plain ? "\(text)" : SettingValue.quoted(String(text))
    case .mapping: return "a mapping"
    case .sequence(let sequence):
      return sequence.count > 8
        ? "a list of \(sequence.count)" : "[" + sequence.map(shown).joined(separator: ", ") + "]"
    case .alias: return "an alias"
    }
  }

  static func syntaxError(_ error: YamlError, file: String) -> ConfigurationError {
    func failure(_ mark: Mark?, _ problem: String) -> ConfigurationError {
      ConfigurationError(
        place: mark.map { "\(file):\($0.line):\($0.column)" } ?? file, problem: problem,
        accepted: "YAML, such as 'apus config' prints")
    }
    switch error {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      return failure(mark, [context?.text, problem].compactMap(\.self).joined(separator: " "))
    case .duplicatedKeysInMapping(let duplicates, let context):
      return ConfigurationError(
        place: "\(file):\(context.mark.line):\(context.mark.column)",
        problem: "\(duplicates.joined(separator: ", ")) is given more than once",
        accepted: "each setting once")
    case .reader(let problem, _, _, _):
      return failure(nil, problem)
    default:
      return failure(nil, "\(error)")
    }
  }

  // MARK: --set

  /// Reads `path=value`, the argument of `--set`; it goes before what the file says.
  package mutating func set(_ argument: String) throws {
    let place = "--set \(argument)"
    guard let equals = argument.firstIndex(of: "=") else {
      throw ConfigurationError(
        place: place, problem: "there is no '='", accepted: "path=value, such as training.steps=300"
      )
    }
    let path = argument[..<equals].trimmingCharacters(in: .whitespaces)
    let text = String(argument[argument.index(after: equals)...])
    guard let known = tree.find(path), !path.isEmpty else {
      throw unknown(path, place: place)
    }
    guard case .value(let current) = known.content else {
      throw ConfigurationError(
        place: place, problem: "\(path) is a section",
        accepted: "one of \(Self.paths(known.children))")
    }
    if places[path]?.hasPrefix("--set ") == true {
      throw ConfigurationError(
        place: place, problem: "\(path) is given more than once", accepted: "each setting once")
    }
    guard let value = Self.reading(text, as: current) else {
      throw ConfigurationError(
        place: place, problem: "\(path) is \(text.isEmpty ? "empty" : text)",
        accepted: current.accepted)
    }
    values[path] = value
    places[path] = place
  }

  /// Text is taken as it stands, so that a shell's quotes suffice; only lists are YAML.
  private static func reading(_ text: String, as current: SettingValue) -> SettingValue? {
    guard case .wholes = current else { return current.reading(text) }
    let composed = try? Yams.compose(yaml: text, .default, .default, .utf8)
    return composed.flatMap { current.reading($0) }
  }

  // MARK: Unknown names

  private func unknown(_ name: String, in section: SettingTree, place: String)
    -> ConfigurationError
  {
    unknown(section.path.isEmpty ? name : "\(section.path).\(name)", place: place)
  }

  private func unknown(_ path: String, place: String) -> ConfigurationError {
    let known = Self.everyPath(tree)
    let problem = "there is no setting '\(path)'"
    if let nearest = nearestName(to: path, among: known) {
      return ConfigurationError(
        place: place, problem: problem, remedy: "did you mean '\(nearest)'?")
    }
    // Nothing is near: the names of the deepest section that exists.
    var section = tree
    for name in path.split(separator: ".") {
      guard let child = section.children.first(where: { $0.name == name }) else { break }
      section = child
    }
    return ConfigurationError(
      place: place, problem: problem, accepted: "one of \(Self.paths(section.children))")
  }

  private static func everyPath(_ tree: SettingTree) -> [String] {
    tree.children.flatMap { [$0.path] + everyPath($0) }
  }

  private static func names(_ trees: [SettingTree]) -> String {
    trees.map { String($0.name) }.joined(separator: ", ")
  }

  private static func paths(_ trees: [SettingTree]) -> String {
    trees.map(\.path).joined(separator: ", ")
  }
}
