// A configuration as text: YAML with or without meanings, lines to compare, and differences.

extension ConfigurationSection {
  /// The configuration as YAML in the order of declaration; reads back equal.
  public var yaml: String { SettingTree(root: self).yaml(commented: false) }

  /// The same with the meaning of every setting beside it.
  public var commentedYAML: String { SettingTree(root: self).yaml(commented: true) }

  /// One line `path = value` for each setting, in a fixed order: equal text is an equal
  /// configuration, whoever wrote it.
  public var canonicalText: String {
    settings.map { "\($0.path) = \($0.value.yaml)\n" }.joined()
  }

  /// The settings whose values differ from those of `other`, in the order of declaration.
  public func differences(from other: Self) -> [SettingDifference] {
    zip(settings, other.settings).compactMap { mine, theirs in
      mine.value == theirs.value
        ? nil
        : SettingDifference(
          path: mine.path, value: mine.value.yaml, other: theirs.value.yaml)
    }
  }
}

/// A setting that two configurations give different values.
public struct SettingDifference: Sendable, Equatable, CustomStringConvertible {
  public let path: String
  public let value: String
  /// The value in the configuration that was compared with.
  public let other: String
  public var description: String { "\(path) is \(value) here, \(other) there" }
}

extension RunConfiguration {
  /// What a checkpoint holds of it: all but how its ranks split the model.
  public var checkpointYAML: String {
    SettingTree(root: self).without("layout").yaml(commented: false)
  }

  /// Whether a setting takes part in what is learnt.
  ///
  /// Names, folders, reports and checkpoints do not: a resumed run may change them and is still
  /// the same run, bit for bit.
  public static func changesLearning(_ path: String) -> Bool {
    let apart = [
      "run.name", "run.folder", "run.watchdogSeconds", "examples.evaluation", "evaluation",
      "samples", "checkpoint",
      "display",
    ]
    return !apart.contains { path == $0 || path.hasPrefix($0 + ".") }
  }
}

extension SettingTree {
  /// The same tree but for one of its direct children.
  func without(_ name: Substring) -> SettingTree {
    var copy = self
    copy.content = .section(children.filter { $0.name != name })
    return copy
  }

  /// Nested mappings; meanings as comments, those of one section in one column.
  func yaml(commented: Bool) -> String {
    lines(indent: "", commented: commented).joined(separator: "\n") + "\n"
  }

  private func lines(indent: String, commented: Bool) -> [String] {
    let entries = children.map { child in
      switch child.content {
      case .value(let value): "\(indent)\(child.name): \(value.yaml)"
      case .section: "\(indent)\(child.name):"
      }
    }
    // At the root there are only sections, whose headings need no column.
    let column = indent.isEmpty ? 0 : entries.map(\.count).max() ?? 0
    var result: [String] = []
    for (entry, child) in zip(entries, children) {
      if commented {
        if indent.isEmpty, !result.isEmpty { result.append("") }
        let padding = String(repeating: " ", count: max(0, column - entry.count))
        result.append("\(entry)\(padding)  # \(child.comment)")
      } else {
        result.append(entry)
      }
      result += child.lines(indent: indent + "  ", commented: commented)
    }
    return result
  }

  /// The meaning, and the choices where there are some that it does not name.
  private var comment: String {
    if case .value(.choice(_, let choices)) = content, !choices.allSatisfy(meaning.contains) {
      "\(meaning) (\(choices.joined(separator: " | ")))"
    } else {
      meaning
    }
  }
}
