// What people and models say to each other, as files of examples hold it.

/// Who speaks.
public enum Role: String, Sendable, CaseIterable {
  /// Instructions for the whole conversation; stands first or not at all.
  case system
  case user
  /// The model; what it says is learned.
  case assistant
}

/// One turn of a conversation.
public struct Message: Sendable, Equatable {
  public let role: Role
  public let content: String

  public init(_ role: Role, _ content: String) {
    self.role = role
    self.content = content
  }

  /// Byte for byte: strings that are only canonically equivalent differ.
  public static func == (a: Message, b: Message) -> Bool {
    a.role == b.role && a.content.utf8.elementsEqual(b.content.utf8)
  }
}

/// A part of an example: plain text, which is encoded as it stands, or turns of a conversation.
public enum Passage: Sendable, Equatable {
  case text(String)
  case messages([Message])

  public static func == (a: Passage, b: Passage) -> Bool {
    switch (a, b) {
    case (.text(let a), .text(let b)): a.utf8.elementsEqual(b.utf8)
    case (.messages(let a), .messages(let b)): a == b
    default: false
    }
  }
}

/// What a model shall learn to answer. Prompt and completion are of one kind; messages alternate
/// between user and assistant, and the last is the assistant's.
public struct InstructionExample: Sendable, Equatable {
  /// Empty for a whole conversation, of which every answer is learned.
  public let prompt: Passage
  public let completion: Passage

  public init(prompt: Passage, completion: Passage) {
    self.prompt = prompt
    self.completion = completion
  }
}

/// Two completions of one prompt, one of them preferred; all three are of one kind.
public struct PreferenceExample: Sendable, Equatable {
  public let prompt: Passage
  public let chosen: Passage
  public let rejected: Passage
  /// By how much the chosen one should at least be better, where the file says.
  public let margin: Double?

  public init(prompt: Passage, chosen: Passage, rejected: Passage, margin: Double? = nil) {
    self.prompt = prompt
    self.chosen = chosen
    self.rejected = rejected
    self.margin = margin
  }
}
