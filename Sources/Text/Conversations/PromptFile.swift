// Files of prompts alone: what a model shall answer when nobody shows how.

extension ExampleFile where Example == Passage {
  /// Reads `{"prompt"}`: text, a list of messages, or a dialogue written as text. Other fields are not
  /// looked at, so a file of instructions gives its prompts.
  public init(prompts path: String, badLines: BadLines = .refused) throws {
    try self.init(path, badLines: badLines) { try $0.prompt() }
  }
}
