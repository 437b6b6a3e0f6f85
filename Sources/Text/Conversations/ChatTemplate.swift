// Conversations as tokens, and what of them is learned: ChatML.
//
// Texts are encoded apart from the control tokens around them, so that nothing which is said can
// become one, and the tokens of a prompt are always a prefix of the tokens of the whole.

/// Tokens of an example.
public struct EncodedExample: Sendable, Equatable {
  public var tokens: [Int32] = []
  /// Whether the model shall learn to say it: answers with the stop token, nothing else.
  public var isLearned: [Bool] = []

  public init() {}

  /// An answer as it was written, stop token included where it has one.
  public init(prompt: [Int32], answer: [Int32]) {
    append(prompt, learned: false)
    append(answer, learned: true)
  }

  mutating func append(_ more: [Int32], learned: Bool) {
    tokens += more
    isLearned += Array(repeating: learned, count: more.count)
  }
}

/// How a tokenizer's control tokens frame conversations:
/// `<|im_start|>role\n` content `<|im_end|>` `\n` for each message.
///
/// Plain prompts and completions are framed by nothing but the stop token at the end; for them alone a
/// vocabulary may lack `<|im_start|>` and `<|im_end|>`.
public struct ChatTemplate: Sendable {
  private let tokenizer: Tokenizer
  /// Begins a message; nil in vocabularies for plain text alone.
  private let start: Int32?
  /// Ends an answer, and is learned: `<|im_end|>`, without it `<|endoftext|>`.
  public let stop: Int32
  /// Fills up batches and is never learned: `<|pad|>`, without it `<|endoftext|>` where that is not
  /// the stop token.
  public let padding: Int32

  /// Throws where the vocabulary has no stop token or no other token for padding; `source` names it.
  public init(_ tokenizer: Tokenizer, source: String) throws {
    self.tokenizer = tokenizer
    let (start, end) = (tokenizer.id(of: "<|im_start|>"), tokenizer.id(of: "<|im_end|>"))
    guard (start == nil) == (end == nil) else {
      throw TextError(
        source, "has only one of <|im_start|> and <|im_end|>; accepted: both, or neither")
    }
    guard let stop = end ?? tokenizer.endOfText else {
      throw TextError(
        source,
        "has no token that ends an answer; accepted: special tokens <|im_start|> and <|im_end|>, "
          + "or <|endoftext|> for plain text")
    }
    let others = [tokenizer.id(of: "<|pad|>"), tokenizer.endOfText].compactMap { $0 }
    guard let padding = others.first(where: { $0 != stop }) else {
      throw TextError(
        source,
        "has no token for padding beside the stop token, which must be learned; accepted: a special "
          + "token <|pad|>, or <|endoftext|> beside <|im_end|>")
    }
    self.start = start
    self.stop = stop
    self.padding = padding
  }

  /// Whether conversations can be encoded.
  public var framesMessages: Bool { start != nil }

  /// Tokens of an example, of which the completion's answers are learned.
  public func encode(_ example: InstructionExample) throws -> EncodedExample {
    var result = try encodePrompt(example.prompt, opensAnswer: false)
    try append(example.completion, to: &result)
    return result
  }

  /// The prompt alone, with the header of the answer that shall follow: what generation starts from.
  public func encodePrompt(_ prompt: Passage) throws -> [Int32] {
    try encodePrompt(prompt, opensAnswer: true).tokens
  }

  /// Both completions, each after the prompt. Throws where they become the same tokens.
  public func encode(_ example: PreferenceExample) throws -> (
    chosen: EncodedExample, rejected: EncodedExample
  ) {
    let chosen = try encode(
      InstructionExample(prompt: example.prompt, completion: example.chosen))
    let rejected = try encode(
      InstructionExample(prompt: example.prompt, completion: example.rejected))
    guard chosen != rejected else {
      throw TextError(
        "a pair of completions", "becomes the same tokens; accepted: completions that differ")
    }
    return (chosen, rejected)
  }

  private func encodePrompt(_ prompt: Passage, opensAnswer: Bool) throws -> EncodedExample {
    var result = EncodedExample()
    switch prompt {
    case .text(let text): result.append(plain(text), learned: false)
    case .messages(let messages):
      for message in messages { try append(message, learned: false, to: &result) }
      if opensAnswer { result.append(try header(.assistant), learned: false) }
    }
    return result
  }

  private func append(_ completion: Passage, to result: inout EncodedExample) throws {
    switch completion {
    case .text(let text): result.append(plain(text) + [stop], learned: true)
    case .messages(let messages):
      for message in messages {
        try append(message, learned: message.role == .assistant, to: &result)
      }
    }
  }

  private func append(_ message: Message, learned: Bool, to result: inout EncodedExample) throws {
    result.append(try header(message.role), learned: false)
    result.append(plain(message.content) + [stop], learned: learned)
    result.append(plain("\n"), learned: false)
  }

  private func header(_ role: Role) throws -> [Int32] {
    guard let start else {
      throw TextError(
        "the tokenizer",
        "cannot frame messages; accepted: special tokens <|im_start|> and <|im_end|>")
    }
    return [start] + plain("\(role.rawValue)\n")
  }

  /// Text without control tokens, whatever it says.
  private func plain(_ text: String) -> [Int32] {
    tokenizer.encode(text, recognizingAddedTokens: false)
  }
}
