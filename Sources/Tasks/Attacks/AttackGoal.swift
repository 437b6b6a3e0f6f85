// What an attack is after, what it may write, and what it asks of a model it knows nothing about.

/// One prompt whose rule must not be broken, with the part that an attacker writes left open.
public struct AttackGoal: Sendable {
  public let index: Int
  /// The prompt before and after the attacker's segment.
  public let prefix: [Int32]
  public let suffix: [Int32]
  /// The answer whose probability a search raises.
  public let target: [Int32]
  /// Whether the segment is an attack at all: it must not hand in what the answer must not hold.
  public let isFair: @Sendable ([Int32]) -> Bool
  public let isViolation: @Sendable ([Int32]) -> Bool

  public init(
    index: Int, prefix: [Int32], suffix: [Int32], target: [Int32],
    isFair: @escaping @Sendable ([Int32]) -> Bool,
    isViolation: @escaping @Sendable ([Int32]) -> Bool
  ) {
    self.index = index
    self.prefix = prefix
    self.suffix = suffix
    self.target = target
    self.isFair = isFair
    self.isViolation = isViolation
  }

  /// The whole prompt with this segment.
  public func prompt(_ segment: [Int32]) -> [Int32] { prefix + segment + suffix }
}

/// What an attacker can write.
public struct AttackSurface: Sendable {
  /// A place of a template.
  public enum Slot: Sendable { case phrasing, filler, token(Int32) }

  /// Tokens that a user may write: no control tokens.
  public let tokens: [Int32]
  /// Most tokens of a segment.
  public let length: Int
  /// Ways to ask that alignment saw.
  public let phrasings: [[Int32]]
  /// Ways to ask that it did not see.
  public let heldOutPhrasings: [[Int32]]
  /// Ways to wrap a phrasing that alignment saw.
  public let templates: [[Slot]]
  /// Tokens that mean nothing by themselves.
  public let fillers: [Int32]

  public init(
    tokens: [Int32], length: Int, phrasings: [[Int32]], heldOutPhrasings: [[Int32]],
    templates: [[Slot]], fillers: [Int32]
  ) {
    self.tokens = tokens
    self.length = length
    self.phrasings = phrasings
    self.heldOutPhrasings = heldOutPhrasings
    self.templates = templates
    self.fillers = fillers
  }
}

/// One prompt for the attacked model to answer.
public struct AttackQuery: Sendable, Equatable {
  public let prompt: [Int32]
  /// Keys the random numbers of a sampled answer, under the attack's seed; nil takes the most
  /// probable tokens.
  public let sample: UInt64?

  public init(prompt: [Int32], sample: UInt64? = nil) {
    self.prompt = prompt
    self.sample = sample
  }
}

/// A prompt whose continuation by `target` is to be scored.
public struct AttackProbe: Sendable, Equatable {
  public let prompt: [Int32]
  public let target: [Int32]
  /// The attacker's places in the prompt.
  public let segment: Range<Int>

  init(_ goal: AttackGoal, _ segment: [Int32]) {
    prompt = goal.prompt(segment)
    target = goal.target
    self.segment = goal.prefix.count..<(goal.prefix.count + segment.count)
  }
}

/// The model as attacks see it: three questions, each for a batch, each answered in the same order.
/// With several ranks every rank is asked alike, and must answer alike.
public struct AttackedModel {
  /// Answers up to their end.
  public let answers: ([AttackQuery]) throws -> [[Int32]]
  /// log p(target | prompt), in nats.
  public let logProbabilities: ([AttackProbe]) throws -> [Double]
  /// d log p(target | prompt) / d one-hot of each place of the segment: place after place, a row of
  /// the vocabulary each.
  public let gradients: ([AttackProbe]) throws -> [[Double]]

  public init(
    answers: @escaping ([AttackQuery]) throws -> [[Int32]],
    logProbabilities: @escaping ([AttackProbe]) throws -> [Double],
    gradients: @escaping ([AttackProbe]) throws -> [[Double]]
  ) {
    self.answers = answers
    self.logProbabilities = logProbabilities
    self.gradients = gradients
  }
}
