// Preferences that a judge who sees the gold reward gives by chance (Bradley & Terry 1952).

import Glibc
import Kernels

/// Two answers to a prompt, before anybody judges them.
public struct AnswerPair: Sendable, Equatable {
  public let prompt: [Int32]
  public let first: [Int32]
  public let second: [Int32]

  public init(prompt: [Int32], first: [Int32], second: [Int32]) {
    self.prompt = prompt
    self.first = first
    self.second = second
  }
}

/// Two answers to a prompt, judged. It holds no trace of the gold reward but the label.
public struct PreferencePair: Sendable, Equatable {
  /// Of the pair among those that were judged.
  public let index: Int
  public let prompt: [Int32]
  public let chosen: [Int32]
  public let rejected: [Int32]
}

extension JudgedTask {
  /// The chance that the first answer is preferred: σ(gold of the first − gold of the second).
  public func firstIsPreferred(in pair: AnswerPair) -> Double {
    let difference = gold(pair.first, to: pair.prompt) - gold(pair.second, to: pair.prompt)
    return 1 / (1 + exp(-difference))
  }

  /// The judgements of all pairs, the one of pair i drawn by (seed, firstIndex + i). Pairs of equal
  /// answers, which nobody could learn from, are left out.
  public func labels(
    for pairs: [AnswerPair], seed: UInt64, firstIndex: Int = 0
  ) -> [PreferencePair] {
    let key = RandomKey(seed: seed, name: "\(name).labels")
    return pairs.indices.compactMap { index in
      let pair = pairs[index]
      guard pair.first != pair.second else { return nil }
      let draw = uniform(key, counter: UInt64(firstIndex + index))
      let isFirst = draw < firstIsPreferred(in: pair)
      return PreferencePair(
        index: firstIndex + index, prompt: pair.prompt, chosen: isFirst ? pair.first : pair.second,
        rejected: isFirst ? pair.second : pair.first)
    }
  }

  /// The accuracy on such labels that nobody can exceed: the mean of max(p, 1 − p), exactly, over
  /// pairs of different answers. A reward model well above it has seen what it should not.
  public func bayesAccuracy(of pairs: [AnswerPair]) -> Double {
    let best = pairs.filter { $0.first != $0.second }.map { pair in
      let p = firstIsPreferred(in: pair)
      return max(p, 1 - p)
    }
    require(!best.isEmpty, "no pair of different answers among \(pairs.count)")
    return best.reduce(0, +) / Double(best.count)
  }
}
