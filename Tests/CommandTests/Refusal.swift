// What every refusal must be: soon, not a crash, one message that says what, where and what else.

import Testing

/// A command that must be refused.
struct Refusal: Sendable, CustomTestStringConvertible {
  let what: String
  let arguments: [String]
  /// Parts of the one message.
  let says: [String]
  let status: Int32

  init(_ what: String, _ arguments: [String], says: [String], status: Int32 = 1) {
    self.what = what
    self.arguments = arguments
    self.says = says
    self.status = status
  }

  var testDescription: String { what }
}

/// Seconds after which a refusal counts as a hang. Tests share the processors with each other, so this
/// is no measure of speed: launch/proofs/faults.sh times single commands against 5 seconds.
let longestRefusal = 30.0

/// Checks one refusal. Status 64 is of the command line and the configuration, 1 of all else.
func expectRefusal(
  _ outcome: Outcome, status: Int32 = 1, says parts: [String],
  within seconds: Double = longestRefusal, sourceLocation: SourceLocation = #_sourceLocation
) {
  let said = "standard error: \(outcome.errors)"
  #expect(outcome.status == status, Comment(rawValue: said), sourceLocation: sourceLocation)
  #expect(outcome.seconds < seconds, sourceLocation: sourceLocation)
  let complaints = outcome.complaints
  // Argument parsing says "Error: …" and then how the command is used.
  let messages = complaints.filter { $0.hasPrefix("apus: ") || $0.hasPrefix("Error: ") }
  #expect(messages.count == 1, Comment(rawValue: said), sourceLocation: sourceLocation)
  if complaints.first?.hasPrefix("Error: ") != true {
    #expect(complaints.count == 1, Comment(rawValue: said), sourceLocation: sourceLocation)
  }
  for part in parts {
    #expect(
      messages.first?.contains(part) == true, "'\(part)' is not said; \(said)",
      sourceLocation: sourceLocation)
  }
  for word in ["Fatal error", "Backtrace", ".swift:", "Optional(", "Swift."] {
    #expect(!outcome.errors.contains(word), Comment(rawValue: said), sourceLocation: sourceLocation)
  }
}
