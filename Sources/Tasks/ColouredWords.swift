// Coloured words: write about two topics in bright words. Its gold reward may only evaluate.

import Glibc
import Kernels

/// `<bos> river bread :` wants a few words on both topics, in bright words, that stop.
///
/// Preferences drawn from the gold reward stand for it in training, so a reward model can be compared
/// with the best that its labels allow, and over-optimisation of it can be seen.
public struct ColouredWords: ToyTask {
  static let topics = ["river", "forest", "bread", "ship", "garden", "winter", "market", "music"]
  static let positive = ["bright", "golden", "warm", "green", "clear", "merry"]
  static let negative = ["grey", "bitter", "cold", "broken", "dull", "rotten"]
  static let neutral = [
    "the", "a", "is", "was", "very", "still", "and", "then", "near", "with", "some", "there",
  ]

  private static let firstTopic: Int32 = Vocabulary.beginning + 2
  private static let topicTokens = firstTopic..<(firstTopic + 8)
  private static let positiveTokens = topicTokens.upperBound..<(topicTokens.upperBound + 6)
  private static let negativeTokens = positiveTokens.upperBound..<(positiveTokens.upperBound + 6)

  public init() {}

  public var name: String { "coloured-words" }
  public var vocabulary: Vocabulary {
    Vocabulary(words: [":"] + Self.topics + Self.positive + Self.negative + Self.neutral)
  }
  public var promptLimit: Int { 4 }
  public var answerLimit: Int { 16 }
  public var goldMayTrain: Bool { false }

  /// Two different topics in random order. Of the 28 pairs the 8 of neighbours in the list's circle
  /// are for evaluation, so each topic is in two of those and in five of the others.
  public func prompt(_ source: PromptSource, index: Int) -> [Int32] {
    switch source {
    case .evaluation:
      // In turn, so that any 16 in a row hold each once.
      let first = Int32(index % 8)
      let second = (first + 1) % 8
      return prompt(index / 8 % 2 == 0 ? [first, second] : [second, first])
    case .training:
      var draws = KeyedDraws(key(source, "prompts").derived(UInt64(index)))
      let first = Int32(draws.integer(below: 8))
      return prompt([first, (first + 2 + Int32(draws.integer(below: 5))) % 8])
    }
  }

  private func prompt(_ topics: [Int32]) -> [Int32] {
    [Vocabulary.beginning] + topics.map { Self.firstTopic + $0 } + [Self.firstTopic - 1]
  }

  /// A text of the grammar, neither brighter nor darker than chance.
  public func demonstration(of prompt: [Int32], key: RandomKey) -> [Int32] {
    var grammar = ColouredGrammar(
      topics: topics(of: prompt).map { Int($0 - Self.firstTopic) }, draws: KeyedDraws(key))
    let vocabulary = vocabulary
    return grammar.text(atMost: answerLimit - 1).map(vocabulary.token) + [Vocabulary.end]
  }

  /// 2 · tanh((different positive words − negative words) / 2) + topics covered − 0.5 · words off the
  /// topic − 0.5 · repeats − 0.6 · max(0, positive words − 3) − 1 if it does not end.
  ///
  /// A repeat is any later occurrence of a topic or a coloured word. Control tokens are off the topic.
  public func gold(_ answer: [Int32], to prompt: [Int32]) -> Double {
    let answer = Answer(answer)
    let wanted = topics(of: prompt)
    var seen: Set<Int32> = []
    var (positives, differentPositives, negatives, covered, offTopic, repeats) = (0, 0, 0, 0, 0, 0)
    for word in answer.words where word < Self.negativeTokens.upperBound {
      let isNew = seen.insert(word).inserted
      if word < Self.firstTopic {
        offTopic += 1
        continue
      }
      if !isNew { repeats += 1 }
      if Self.topicTokens.contains(word) {
        if !wanted.contains(word) { offTopic += 1 } else if isNew { covered += 1 }
      } else if Self.positiveTokens.contains(word) {
        positives += 1
        if isNew { differentPositives += 1 }
      } else {
        negatives += 1
      }
    }
    return 2 * tanh(Double(differentPositives - negatives) / 2) + Double(covered)
      - 0.5 * Double(offTopic + repeats) - 0.6 * Double(max(0, positives - 3))
      - (answer.isEnded ? 0 : 1)
  }

  /// `gold`, the words that make it, and whether the answer ended.
  public func metrics(of answer: [Int32], to prompt: [Int32]) -> [Metric] {
    let read = Answer(answer)
    let wanted = topics(of: prompt)
    return [
      .mean("gold", gold(answer, to: prompt)),
      .mean("positive words", Double(read.words.count { Self.positiveTokens.contains($0) })),
      .mean("negative words", Double(read.words.count { Self.negativeTokens.contains($0) })),
      .mean("topics covered", Double(wanted.count { read.words.contains($0) })),
      .mean("length", Double(read.words.count)),
      .share("ended", read.isEnded),
    ]
  }

  private func topics(of prompt: [Int32]) -> [Int32] {
    require(prompt.count == 4, "prompt \(prompt)")
    return Array(prompt[1...2])
  }
}
