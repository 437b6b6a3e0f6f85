// What every toy task gives: prompts, demonstrations, and the true worth of an answer.

import Kernels

/// Where a prompt comes from.
public enum PromptSource: Sendable, Equatable {
  /// Drawn by (seed, task, index).
  case training(seed: UInt64)
  /// The same in every run, and never among the training prompts of any seed.
  case evaluation
}

/// A task whose answers have a worth that can be computed.
///
/// Nothing that trains may import this module: `apus` hands rewards over as closures.
public protocol JudgedTask: Sendable {
  /// As in configurations and streams of random numbers.
  var name: String { get }
  /// Most tokens of an answer, its end included.
  var answerLimit: Int { get }
  /// Whether the gold reward may be optimised. Where preferences stand for it, it may only evaluate.
  var goldMayTrain: Bool { get }

  /// The true worth of an answer; what follows its first end does not count.
  func gold(_ answer: [Int32], to prompt: [Int32]) -> Double
  /// What a report tells of an answer, always in the same order; a metric that does not apply to
  /// the prompt is left out.
  func metrics(of answer: [Int32], to prompt: [Int32]) -> [Metric]
}

/// A task that is drawn as well: prompts without end, and answers to learn from.
public protocol ToyTask: JudgedTask {
  var vocabulary: Vocabulary { get }
  /// Most tokens of a prompt.
  var promptLimit: Int { get }

  /// The prompt of this number, alike on every rank and in every order.
  func prompt(_ source: PromptSource, index: Int) -> [Int32]
  /// An answer to learn from, with its end.
  func demonstration(of prompt: [Int32], key: RandomKey) -> [Int32]
}

/// A prompt with an answer to learn from.
public struct Demonstration: Sendable, Equatable {
  public let prompt: [Int32]
  public let answer: [Int32]
}

extension ToyTask {
  /// The demonstration of this number: a prompt, and an answer drawn for it.
  public func demonstration(_ source: PromptSource, index: Int) -> Demonstration {
    let prompt = prompt(source, index: index)
    let key = key(source, "demonstrations").derived(UInt64(index))
    return Demonstration(prompt: prompt, answer: demonstration(of: prompt, key: key))
  }

  /// The first prompts that no training sees.
  public func evaluationPrompts(_ count: Int) -> [[Int32]] {
    (0..<count).map { prompt(.evaluation, index: $0) }
  }

  /// One line for people: prompt, answer and gold.
  public func rendering(of answer: [Int32], to prompt: [Int32]) -> String {
    let gold = (gold(answer, to: prompt) * 100).rounded() / 100
    return "\(vocabulary.text(of: prompt)) → \(vocabulary.text(of: answer))  (gold \(gold))"
  }

  /// The stream that a source's prompts or answers are drawn from.
  func key(_ source: PromptSource, _ purpose: String) -> RandomKey {
    switch source {
    case .training(let seed): RandomKey(seed: seed, name: "\(name).training.\(purpose)")
    case .evaluation: RandomKey(seed: 0, name: "\(name).evaluation.\(purpose)")
    }
  }

  /// Whether prompts with this content belong to the evaluation: an eighth does. It depends on the
  /// content alone, so no seed can bring such a prompt into training.
  func isHeldOut(_ content: some Sequence<Int32>) -> Bool {
    let packed = content.reduce(1) { $0 &* 64 &+ UInt64($1) }
    return uniformInteger(RandomKey(seed: 0, name: "\(name).split"), counter: packed, below: 8) == 0
  }
}

extension PromptSource {
  var isEvaluation: Bool { self == .evaluation }
}

/// An answer up to its end.
struct Answer {
  let words: [Int32]
  let isEnded: Bool

  init(_ tokens: [Int32]) {
    let end = tokens.firstIndex(of: Vocabulary.end)
    words = Array(tokens[..<(end ?? tokens.count)])
    isEnded = end != nil
  }

  /// Whether it says this and stops.
  func isExactly(_ truth: [Int32]) -> Bool { isEnded && words == truth }

  /// 0.9 · share of the truth's places that are right + 0.1 if it ends where the truth ends.
  func agreement(with truth: [Int32]) -> Double {
    let right = zip(words, truth).count { $0 == $1 }
    let endsRight = isEnded && words.count == truth.count
    return (9 * Double(right) / Double(truth.count) + (endsRight ? 1 : 0)) / 10
  }
}
