// Rewards from outside: a task's rule, say, of which no stage knows more than this.

/// The worth of an answer to a prompt, both in tokens, the answer with its stop token where it ended.
public typealias AnswerReward = @Sendable (_ prompt: [Int32], _ answer: [Int32]) -> Double
