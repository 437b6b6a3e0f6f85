// Files of examples, one JSON object a line: what each line may hold.

/// What happens to a line that cannot be used.
public enum BadLines: Sendable {
  /// It is thrown, with file, line, field and reason.
  case refused
  /// It is counted and left out.
  case skipped
}

/// The examples of a file, in its order.
public struct ExampleFile<Example: Sendable>: Sendable {
  public let path: String
  public let examples: [Example]
  /// The line of each, from 1.
  public let lines: [Int]
  /// How many lines were left out.
  public let skippedLines: Int
  /// Why, for the first few of them.
  public let firstReasons: [TextError]

  /// Reasons that are kept.
  private static var keptReasons: Int { 5 }

  init(_ path: String, badLines: BadLines, _ read: (ExampleLine) throws -> Example) throws {
    self.path = path
    var examples: [Example] = []
    var numbers: [Int] = []
    var skipped = 0
    var reasons: [TextError] = []
    var lines = try LineReader(path)
    while let line = try lines.next() {
      do {
        examples.append(try read(ExampleLine(line, place: "\(path), line \(lines.number)")))
        numbers.append(lines.number)
      } catch let error as TextError where badLines == .skipped {
        skipped += 1
        if reasons.count < Self.keptReasons { reasons.append(error) }
      }
    }
    guard !examples.isEmpty else {
      let why = reasons.first.map { " of \(skipped) lines, all left out, the first since \($0)" }
      throw TextError(path, "holds no examples\(why ?? ""); accepted: one JSON object a line")
    }
    self.examples = examples
    self.lines = numbers
    skippedLines = skipped
    firstReasons = reasons
  }
}

extension ExampleFile where Example == InstructionExample {
  /// Reads `{"messages"}`, `{"prompt", "completion"}`, or `{"text"}` with a `\n\nHuman:` dialogue.
  /// Other fields are not looked at.
  public init(instructions path: String, badLines: BadLines = .refused) throws {
    try self.init(path, badLines: badLines) { line in
      let forms = ["messages", "completion", "text"].filter(line.has)
      guard forms.count == 1 else {
        throw TextError(
          line.place,
          forms.isEmpty
            ? "has no \"messages\", \"completion\" or \"text\"; accepted: one of them"
            : "has both \"\(forms[0])\" and \"\(forms[1])\"; accepted: one of them")
      }
      guard forms != ["completion"] else {
        let prompt = try line.prompt()
        return InstructionExample(
          prompt: prompt, completion: try line.completion("completion", of: prompt))
      }
      guard case .messages(let messages) = try line.passage(forms[0]) else {
        throw line.refusal(
          forms[0], "is plain text",
          accepted: forms == ["text"]
            ? "a dialogue that begins with \\n\\nHuman:" : "a list of messages")
      }
      try line.checkTurns(messages, fields: line.names(forms[0], messages))
      return InstructionExample(prompt: .messages([]), completion: .messages(messages))
    }
  }
}

extension ExampleFile where Example == PreferenceExample {
  /// Reads `{"prompt", "chosen", "rejected"}` with an optional `margin`. Without a prompt it is what
  /// both conversations begin with; a prompt that is text may also repeat the last user's message of
  /// that beginning. Other fields are not looked at.
  public init(preferences path: String, badLines: BadLines = .refused) throws {
    try self.init(path, badLines: badLines) { line in
      let (prompt, chosen, rejected) = try line.pair()
      guard chosen != rejected else {
        throw line.refusal(
          "rejected", "equals chosen", accepted: "two completions of which one is preferred")
      }
      return PreferenceExample(
        prompt: prompt, chosen: chosen, rejected: rejected, margin: try line.number("margin"))
    }
  }
}

extension ExampleLine {
  fileprivate func pair() throws -> (prompt: Passage, chosen: Passage, rejected: Passage) {
    if has("prompt") {
      let given = try prompt()
      guard case .text(let text) = given, case .messages = try passage("chosen") else {
        return (
          given, try completion("chosen", of: given), try completion("rejected", of: given)
        )
      }
      let (before, chosen, rejected) = try sharedBeginning()
      guard let last = before.last, areAlike(last.content, text) else {
        throw refusal(
          "prompt", "is text, and not the user's message that both completions begin with",
          accepted: "that message, or a list of messages")
      }
      return (.messages(before), .messages(chosen), .messages(rejected))
    }
    let (before, chosen, rejected) = try sharedBeginning()
    return (.messages(before), .messages(chosen), .messages(rejected))
  }

  /// What both conversations begin with, up to a user's turn, and how each goes on.
  private func sharedBeginning() throws -> (
    before: [Message], chosen: [Message], rejected: [Message]
  ) {
    func conversation(_ field: String) throws -> [Message] {
      guard case .messages(let messages) = try passage(field) else {
        throw refusal(
          field, "is text without a prompt",
          accepted: "a field prompt, or conversations that begin alike")
      }
      try checkTurns(messages, fields: names(field, messages))
      return messages
    }
    let chosen = try conversation("chosen")
    let rejected = try conversation("rejected")
    var count = zip(chosen, rejected).prefix { $0 == $1 }.count
    while count > 0 && chosen[count - 1].role != .user { count -= 1 }
    guard count > 0 else {
      throw refusal(
        "rejected", "does not begin as chosen does",
        accepted: "conversations that share a user's turn, or a field prompt")
    }
    return (Array(chosen[..<count]), Array(chosen[count...]), Array(rejected[count...]))
  }

  private func areAlike(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
}
