// What a configuration is made of: structs whose stored properties are its settings, seen as a tree.

import Transformer

/// A group of settings: every stored property is one setting or a section of its own.
///
/// Properties are `var`s with defaults, of type `Int`, `Double`, `Bool`, `String`, `[Int]`, an
/// enumeration of strings, or another section. No optionals: a missing value needs a value that
/// says so.
public protocol ConfigurationSection: Codable, Sendable, Equatable {
  /// All defaults.
  init()
  /// One line for each property, by its name.
  static var meanings: [String: String] { get }
}

extension ModelConfiguration: ConfigurationSection {}
extension RouterConfiguration: ConfigurationSection {}

/// One setting: where it stands, what it is, what it means.
public struct Setting: Sendable, Equatable {
  /// Names from the root, joined by dots: `model.router.experts`.
  public let path: String
  public let value: SettingValue
  public let meaning: String
}

extension ConfigurationSection {
  /// Every setting, sections unfolded, in the order of declaration.
  public var settings: [Setting] { SettingTree(root: self).leaves }
}

/// A section or a setting, with its place among the others.
struct SettingTree {
  enum Content {
    case value(SettingValue)
    case section([SettingTree])
  }

  let path: String
  let meaning: String
  var content: Content

  var name: Substring { path.split(separator: ".").last ?? "" }

  private init(path: String, meaning: String, content: Content) {
    self.path = path
    self.meaning = meaning
    self.content = content
  }

  /// The tree of a whole configuration; its own path is empty.
  init(root: any ConfigurationSection) {
    self.init(path: "", meaning: "", content: Self.content(of: root, path: ""))
  }

  private static func content(of property: Any, path: String) -> Content {
    if let value = SettingValue(property) { return .value(value) }
    guard let section = property as? any ConfigurationSection else {
      fatalError("the setting \(path) is a \(type(of: property)), which no configuration can hold")
    }
    let meanings = type(of: section).meanings
    return .section(
      Mirror(reflecting: section).children.map { child in
        let name = child.label ?? ""
        let childPath = path.isEmpty ? name : "\(path).\(name)"
        return SettingTree(
          path: childPath, meaning: meanings[name] ?? "",
          content: content(of: child.value, path: childPath))
      })
  }

  /// The settings at and below this place.
  var leaves: [Setting] {
    switch content {
    case .value(let value): [Setting(path: path, value: value, meaning: meaning)]
    case .section(let children): children.flatMap(\.leaves)
    }
  }

  /// Direct children; none for a setting.
  var children: [SettingTree] {
    if case .section(let children) = content { children } else { [] }
  }

  /// The section or setting of that path.
  func find(_ wanted: String) -> SettingTree? {
    if path == wanted { return self }
    guard path.isEmpty || wanted.hasPrefix(path + ".") else { return nil }
    for child in children {
      if let found = child.find(wanted) { return found }
    }
    return nil
  }

  /// The same tree with other values, by path.
  func replacing(_ values: [String: SettingValue]) -> SettingTree {
    var copy = self
    switch content {
    case .value(let value): copy.content = .value(values[path] ?? value)
    case .section(let children): copy.content = .section(children.map { $0.replacing(values) })
    }
    return copy
  }
}
