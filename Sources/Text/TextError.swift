// What is thrown when a text, a tokenizer or a corpus cannot be used.

/// A place in what the user gave, what is wrong there, and what would be accepted.
///
/// Bugs are not thrown: they trap.
public struct TextError: Error, Equatable, CustomStringConvertible {
  /// A file, with line, byte or field where known: `data.jsonl, line 3, field text`.
  public let place: String
  public let problem: String

  public init(_ place: String, _ problem: String) {
    self.place = place
    self.problem = problem
  }

  public var description: String { "\(place): \(problem)" }
}

/// Traps when a condition that no user can break is broken; the values survive optimisation.
@inline(__always)
func check(_ condition: Bool, _ values: @autoclosure () -> String) {
  if !condition { fatalError(values()) }
}
