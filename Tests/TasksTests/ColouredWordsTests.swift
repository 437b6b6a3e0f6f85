// Coloured words: the gold reward against a reckoning by names, and preferences against their chances.

import Foundation
import Kernels
import Tasks
import Testing

@Suite struct `Coloured words` {
  let task = ColouredWords()

  /// An answer, its different positive words less its negative ones, and the rest of its gold.
  static let handReckoned: [(answer: String, balance: Double, rest: Double)] = [
    // Three different bright words, both topics.
    ("the bright river is warm and a merry bread <|endoftext|>", 3, 2),
    // The same without an end.
    ("the bright river is warm and a merry bread", 3, 1),
    // One bright word, two dark ones; one topic, and again; one word off the topic.
    ("the grey river is warm and the river is cold near a ship <|endoftext|>", -1, 0),
    // Four bright words, one of them twice: five in all, two above three.
    ("bright bright golden warm green <|endoftext|>", 4, -1.7),
    // Nothing but neutral words.
    ("the the a is <|endoftext|>", 0, 0),
    // Control tokens are off the topic.
    (": : bread <|endoftext|>", 0, 0),
    ("<|endoftext|> bright river bread", 0, 0),
  ]

  @Test(arguments: handReckoned.indices)
  func `an answer about river and bread is worth what the rule says`(_ place: Int) throws {
    let (text, balance, rest) = Self.handReckoned[place]
    let prompt = try task.vocabulary.tokens(of: "<bos> river bread :")
    let answer = try task.vocabulary.tokens(of: text)
    #expect(abs(task.gold(answer, to: prompt) - (2 * tanh(balance / 2) + rest)) < 1e-12)
  }

  @Test func `the gold of random answers equals a reckoning by names`() throws {
    let names = task.vocabulary.names
    let topics = Set(["river", "forest", "bread", "ship", "garden", "winter", "market", "music"])
    let positive = Set(["bright", "golden", "warm", "green", "clear", "merry"])
    let negative = Set(["grey", "bitter", "cold", "broken", "dull", "rotten"])
    let key = RandomKey(seed: 1, name: "test")
    var values: Set<Double> = []
    for index in 0..<2000 {
      let prompt = task.prompt(.training(seed: 2), index: index)
      let answer = (0..<16).map { place in
        Int32(uniformInteger(key.derived(UInt64(index)), counter: place, below: names.count))
      }
      let end = answer.firstIndex(of: 1)
      let words = answer[..<(end ?? 16)].map { names[Int($0)] }
      let wanted = Set(prompt[1...2].map { names[Int($0)] })
      let coloured = words.filter { positive.contains($0) || negative.contains($0) }
      let aboutTopics = words.filter(topics.contains)
      let bright = words.filter(positive.contains)
      let astray =
        aboutTopics.filter { !wanted.contains($0) }
        + words.filter { ["<|pad|>", "<bos>", ":"].contains($0) }
      let repeats =
        coloured.count - Set(coloured).count + aboutTopics.count - Set(aboutTopics).count
      var truth = 2 * tanh(Double(Set(bright).count - words.filter(negative.contains).count) / 2)
      truth += Double(wanted.intersection(words).count)
      truth -= 0.5 * Double(astray.count) + 0.5 * Double(repeats)
      truth -= 0.6 * Double(max(0, bright.count - 3)) + (end == nil ? 1 : 0)
      #expect(abs(task.gold(answer, to: prompt) - truth) < 1e-12, "\(words)")
      values.insert(truth)
    }
    #expect(values.count > 100)
  }

  @Test func `evaluation asks for pairs of topics that no training asks for`() {
    let held = Set(task.evaluationPrompts(400).map { Set($0[1...2]) })
    let trained = Set(
      (0..<3 as Range<UInt64>).flatMap { seed in
        (0..<2000).map { Set(task.prompt(.training(seed: seed), index: $0)[1...2]) }
      })
    #expect(held.count == 8 && trained.count == 20)
    #expect(held.isDisjoint(with: trained))
    #expect((held.union(trained)).allSatisfy { $0.count == 2 })
    #expect(Set(task.evaluationPrompts(16)).count == 16)
  }

  /// Pairs of answers that the grammar gives to training prompts.
  func grammarPairs(_ count: Int) -> [AnswerPair] {
    (0..<count).map { index in
      let prompt = task.prompt(.training(seed: 5), index: index)
      let answers = (0..<2).map { side in
        let key = RandomKey(seed: 5, name: "test pairs").derived(UInt64(2 * index + side))
        return task.demonstration(of: prompt, key: key)
      }
      return AnswerPair(prompt: prompt, first: answers[0], second: answers[1])
    }
  }

  @Test func `demonstrations leave room above them and use every word`() throws {
    let shown = (0..<4000).map { task.demonstration(.training(seed: 0), index: $0) }
    let gold = shown.map { task.gold($0.answer, to: $0.prompt) }
    let mean = gold.reduce(0, +) / Double(gold.count)
    #expect((0.2...0.9).contains(mean), "mean gold \(mean)")
    // All but padding, beginning, the colon and the unknown word.
    #expect(Set(shown.flatMap(\.answer)).count == task.vocabulary.count - 4)
    #expect(gold.max()! > 3)
  }

  @Test func `the best labeller is as accurate as the Bayes accuracy says`() {
    let pairs = grammarPairs(20_000)
    let labels = task.labels(for: pairs, seed: 9)
    #expect(labels.count == pairs.count { $0.first != $0.second })
    let right = labels.map { label -> Double in
      let better = task.gold(label.chosen, to: label.prompt)
      let worse = task.gold(label.rejected, to: label.prompt)
      return better > worse ? 1 : better == worse ? 0.5 : 0
    }
    let accuracy = right.reduce(0, +) / Double(right.count)
    let bayes = task.bayesAccuracy(of: pairs)
    #expect((0.7...0.8).contains(bayes), "Bayes accuracy \(bayes)")
    let error = (bayes * (1 - bayes) / Double(right.count)).squareRoot()
    #expect(abs(accuracy - bayes) < 3 * error, "\(accuracy) against \(bayes) ± \(error)")
  }

  @Test func `labels come as often as their chances say`() throws {
    for (index, pair) in grammarPairs(12).enumerated() where pair.first != pair.second {
      let count = 10_000
      let labels = task.labels(
        for: Array(repeating: pair, count: count), seed: 3, firstIndex: index * count)
      let difference =
        task.gold(pair.first, to: pair.prompt) - task.gold(pair.second, to: pair.prompt)
      let p = exp(difference) / (1 + exp(difference))
      #expect(abs(task.firstIsPreferred(in: pair) - p) < 1e-12)
      let share = Double(labels.count { $0.chosen == pair.first }) / Double(count)
      let error = (p * (1 - p) / Double(count)).squareRoot()
      #expect(abs(share - p) < 4 * error, "\(share) of \(p)")
    }
  }

  @Test func `a label depends on seed and index alone, and equal answers get none`() {
    let pairs = grammarPairs(300)
    let all = task.labels(for: pairs, seed: 4)
    let half = task.labels(for: Array(pairs[150...]), seed: 4, firstIndex: 150)
    #expect(Array(all.suffix(half.count)) == half)
    #expect(task.labels(for: pairs, seed: 6) != all)
    let same = AnswerPair(prompt: pairs[0].prompt, first: pairs[0].first, second: pairs[0].first)
    #expect(task.labels(for: [same], seed: 4).isEmpty)
  }
}
