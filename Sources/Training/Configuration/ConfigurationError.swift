// What is wrong with a configuration, said in one line.

import Transformer

/// A setting that cannot be used: where it was read, what is wrong, what would do instead.
public struct ConfigurationError: Error, CustomStringConvertible, Equatable {
  /// `configs/toy.yaml:12:3`, `--set model.width=x`, or `default`.
  public let place: String
  public let problem: String
  /// `accepted: …` or `did you mean …?`
  public let remedy: String
  public var description: String { "\(place): \(problem); \(remedy)" }

  package init(place: String, problem: String, accepted: String) {
    self.init(place: place, problem: problem, remedy: "accepted: \(accepted)")
  }

  package init(place: String, problem: String, remedy: String) {
    self.place = place
    self.problem = problem
    self.remedy = remedy
  }
}

/// A value out of range, before it is known where the value was read.
public struct SettingRangeError: Error, CustomStringConvertible, Equatable {
  /// Path of the setting: `training.batch`.
  public let field: String
  public let value: String
  public let accepted: String
  public var description: String { "\(field) is \(value); accepted: \(accepted)" }

  public init(field: String, value: String, accepted: String) {
    self.field = field
    self.value = value
    self.accepted = accepted
  }
}

extension SettingRangeError {
  /// Throws unless `isInRange`.
  static func check(
    _ isInRange: Bool, _ field: String, _ value: some CustomStringConvertible, _ accepted: String
  ) throws {
    if !isInRange {
      throw SettingRangeError(field: field, value: value.description, accepted: accepted)
    }
  }
}
