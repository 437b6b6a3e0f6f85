// One line of a file of examples: its fields, checked, and refused by name where they are wrong.

/// A JSON object with a place in a file.
struct ExampleLine {
  private let value: JSONValue
  /// `data.jsonl, line 3`.
  let place: String

  init(_ bytes: [UInt8], place: String) throws {
    let check = UTF8Check(bytes.span)
    guard check.problem == nil, check.wholeBytes == bytes.count else {
      let problem = check.problem ?? "the line ends within a UTF-8 character"
      throw TextError(place, "\(problem); accepted: UTF-8 text without NUL")
    }
    value = try JSONValue(parsing: bytes, source: place)
    guard value.asObject != nil else {
      throw TextError(place, "is \(value.kind); accepted: an object")
    }
    self.place = place
  }

  func refusal(_ field: String, _ problem: String, accepted: String) -> TextError {
    TextError("\(place), field \(field)", "\(problem); accepted: \(accepted)")
  }

  /// Whether the field is there and not null.
  func has(_ field: String) -> Bool { value[field].map { $0 != .null } ?? false }

  /// A finite number, nil where there is none.
  func number(_ field: String) throws -> Double? {
    switch value[field] {
    case nil, .null: return nil
    case .integer(let number): return Double(number)
    case .number(let number): return number
    case .some(let other): throw refusal(field, "is \(other.kind)", accepted: "a number")
    }
  }

  /// A text, a dialogue written as text, or a list of messages; never empty, but for a dialogue's last
  /// answer.
  func passage(_ field: String) throws -> Passage {
    switch value[field] {
    case .string(let text):
      guard !text.isEmpty else { throw refusal(field, "is empty", accepted: "text") }
      try check(text, field)
      return Dialogue.isDialogue(text) ? .messages(Dialogue.turns(text)) : .text(text)
    case .array(let elements):
      return .messages(try messages(elements, field))
    case let other:
      throw refusal(
        field, "is \(other?.kind ?? "missing")", accepted: "a string or a list of messages")
    }
  }

  private func messages(_ elements: [JSONValue], _ field: String) throws -> [Message] {
    guard !elements.isEmpty else { throw refusal(field, "is empty", accepted: "messages") }
    return try elements.enumerated().map { index, element in
      let name = "\(field)[\(index)]"
      guard element.asObject != nil else {
        throw refusal(
          name, "is \(element.kind)", accepted: "an object with \"role\" and \"content\"")
      }
      let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
      guard let roleName = element["role"]?.asString else {
        throw refusal("\(name).role", "is \(element["role"]?.kind ?? "missing")", accepted: roles)
      }
      guard let role = Role(rawValue: roleName) else {
        throw refusal("\(name).role", "is the unknown \"\(roleName)\"", accepted: roles)
      }
      guard let content = element["content"]?.asString else {
        throw refusal(
          "\(name).content", "is \(element["content"]?.kind ?? "missing")", accepted: "a string")
      }
      try check(content, "\(name).content")
      return Message(role, content)
    }
  }

  private func check(_ text: String, _ field: String) throws {
    let bytes = Array(text.utf8)
    if UTF8Check(bytes.span).problem != nil {
      throw refusal(field, "has a NUL character", accepted: "text without NUL")
    }
  }

  /// Throws unless the turns of a conversation follow each other as they may and the last is the
  /// assistant's. `fields` name each message.
  func checkTurns(_ messages: [Message], fields: [String]) throws {
    for (index, message) in messages.enumerated() {
      guard !message.content.isEmpty else {
        throw refusal(fields[index], "has no content", accepted: "messages that say something")
      }
      let before = index == 0 ? nil : messages[index - 1].role
      let expected: [Role] =
        switch before {
        case nil: [.system, .user]
        case .system, .assistant: [.user]
        case .user: [.assistant]
        }
      guard expected.contains(message.role) else {
        throw refusal(
          fields[index],
          "is \(message.role.rawValue)'s turn after \(before?.rawValue ?? "nothing")",
          accepted: expected.map(\.rawValue).joined(separator: " or "))
      }
    }
    guard messages.last?.role == .assistant else {
      throw refusal(
        fields.last ?? "messages", "is the last turn, and not the assistant's",
        accepted: "an answer of the assistant at the end")
    }
  }

  /// A completion that belongs to a prompt: of its kind, and checked together with it.
  func completion(_ field: String, of prompt: Passage) throws -> Passage {
    switch (prompt, try passage(field)) {
    case (.text, .text(let text)): return .text(text)
    case (.messages(let before), .text(let text)):
      // After turns a string is the assistant's answer.
      let answer = Message(.assistant, Dialogue.trimmed(text))
      try checkTurns(before + [answer], fields: names("prompt", before) + [field])
      return .messages([answer])
    case (.messages(let before), .messages(let messages)):
      try checkTurns(before + messages, fields: names("prompt", before) + names(field, messages))
      return .messages(messages)
    case (.text, .messages):
      throw refusal(
        field, "is a list of messages after a prompt that is text",
        accepted: "a string, or a prompt that is a list of messages")
    }
  }

  func names(_ field: String, _ messages: [Message]) -> [String] {
    messages.indices.map { "\(field)[\($0)]" }
  }

  /// The prompt; a dialogue's ends with the assistant's empty turn, which is left out.
  func prompt() throws -> Passage {
    let given = try passage("prompt")
    guard case .messages(var messages) = given else { return given }
    if messages.last == Message(.assistant, "") { messages.removeLast() }
    guard messages.last?.role == .user else {
      throw refusal(
        "prompt", "does not end with the user's turn",
        accepted: "messages of which the user's is the last")
    }
    return .messages(messages)
  }
}
