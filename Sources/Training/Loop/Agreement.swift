// Work that may fail on one rank and must then fail on all.

import Parallel

/// What failed where, thrown by every rank alike.
public struct RanksFailed: AgreedError, CustomStringConvertible {
  /// Each failing rank's own words; ranks with the same words are named together.
  public let failures: [(ranks: [Int], problem: String)]
  let size: Int

  public var description: String {
    failures.map { failure in
      failure.ranks.count == size
        ? failure.problem
        : "rank\(failure.ranks.count == 1 ? "" : "s") "
          + "\(failure.ranks.map(String.init).joined(separator: ", ")) of \(size): "
          + failure.problem
    }.joined(separator: "; ")
  }
}

extension Communicator {
  /// Runs `body` on every rank; if it throws on any, all throw `RanksFailed`.
  ///
  /// `body` meets no collective.
  public func agreeing<Result>(_ body: () throws -> Result) throws -> Result {
    let result = Swift.Result { try body() }
    var problem = ""
    if case .failure(let error) = result { problem = "\(error)" }
    let problems = gather(problem)
    var failures: [(ranks: [Int], problem: String)] = []
    for (rank, problem) in problems.enumerated() where !problem.isEmpty {
      if let known = failures.firstIndex(where: { $0.problem == problem }) {
        failures[known].ranks.append(rank)
      } else {
        failures.append(([rank], problem))
      }
    }
    guard failures.isEmpty else { throw RanksFailed(failures: failures, size: size) }
    return try result.get()
  }
}
