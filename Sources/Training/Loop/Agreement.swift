// Work that may fail on one rank and must then fail on all.

import Parallel
import Transformer

/// What failed where, thrown by every rank alike.
public struct RanksFailed: AgreedError, CustomStringConvertible {
  /// Each failing rank's own words; ranks with the same words are named together, by what they call
  /// themselves.
  public let failures: [(ranks: [String], problem: String)]
  /// Whether all of it lies in the configuration, so that starting again as it is cannot help.
  public let isOfConfiguration: Bool
  let size: Int

  public var description: String {
    failures.map { failure in
      guard failure.ranks.count < size else { return failure.problem }
      let named = failure.ranks.prefix(3)
      let others = failure.ranks.count - named.count
      return named.joined(separator: " and ") + (others > 0 ? " and \(others) more" : "")
        + ": " + failure.problem
    }.joined(separator: "; ")
  }
}

extension Communicator {
  /// Runs `body` on every rank; if it throws on any, all throw `RanksFailed`.
  ///
  /// `body` meets no collective.
  public func agreeing<Result>(
    file: StaticString = #fileID, line: UInt32 = #line, _ body: () throws -> Result
  ) throws -> Result {
    let result = Swift.Result { try body() }
    var own: [String] = []
    if case .failure(let error) = result {
      own = ["\(error)", speaker, error.isOfConfiguration ? "configuration" : "other"]
    }
    let problems = gather(own, file: file, line: line)
    var failures: [(ranks: [String], problem: String)] = []
    for words in problems where !words.isEmpty {
      let (problem, rank) = (words[0], words[1])
      if let known = failures.firstIndex(where: { $0.problem == problem }) {
        failures[known].ranks.append(rank)
      } else {
        failures.append(([rank], problem))
      }
    }
    guard failures.isEmpty else {
      throw RanksFailed(
        failures: failures, isOfConfiguration: !problems.contains { $0.last == "other" },
        size: size)
    }
    return try result.get()
  }
}

extension Error {
  /// Whether the settings must change before the command can succeed.
  public var isOfConfiguration: Bool {
    switch self {
    case is ConfigurationError, is SettingRangeError, is ModelConfigurationError, is MemoryError,
      is LayoutError:
      true
    case let failed as RanksFailed: failed.isOfConfiguration
    default: false
    }
  }
}
