// Answers in natural text, judged by a lexicon: prompts are anybody's, the worth is a rule.

import Glibc
import Kernels

/// An answer shall sound good, by a list of words' valences, and stop in time without repeating itself.
///
/// No measure of truth or of style: a rule that is known exactly, for preferences to be drawn from. Its
/// gold reward may only evaluate.
public struct LexiconTask: JudgedTask {
  /// Words of an answer that cost nothing.
  static let freeWords = 30

  private let lexicon: Lexicon
  public let answerLimit: Int
  private let stop: Int32
  private let decode: @Sendable ([Int32]) -> String

  /// `stop` ends an answer; `decode` gives the text of tokens.
  public init(
    _ lexicon: Lexicon, answerLimit: Int, stop: Int32,
    decode: @escaping @Sendable ([Int32]) -> String
  ) {
    require(answerLimit > 0, "answers of \(answerLimit) tokens")
    self.lexicon = lexicon
    self.answerLimit = answerLimit
    self.stop = stop
    self.decode = decode
  }

  public var name: String { "lexicon" }
  public var goldMayTrain: Bool { false }

  /// 3 · tanh(Σ valences of different words / 4) − 0.5 · repeats − 0.1 · words beyond 30 − 1 if it does
  /// not end.
  ///
  /// A repeat is any later occurrence of a word of four or more letters.
  public func gold(_ answer: [Int32], to prompt: [Int32]) -> Double { reading(answer).gold }

  /// `gold`, what makes it, and whether the answer ended.
  public func metrics(of answer: [Int32], to prompt: [Int32]) -> [Metric] {
    let reading = reading(answer)
    return [
      .mean("gold", reading.gold), .mean("valence", reading.valence),
      .mean("repeats", Double(reading.repeats)), .mean("words", Double(reading.words)),
      .share("ended", reading.isEnded),
    ]
  }

  private struct Reading {
    var words = 0
    var repeats = 0
    var valence = 0.0
    var isEnded = false

    var gold: Double {
      3 * tanh(valence / 4) - 0.5 * Double(repeats)
        - 0.1 * Double(max(0, words - LexiconTask.freeWords)) - (isEnded ? 0 : 1)
    }
  }

  private func reading(_ answer: [Int32]) -> Reading {
    var reading = Reading()
    let end = answer.firstIndex(of: stop)
    reading.isEnded = end != nil
    var seen: Set<String> = []
    for word in Lexicon.words(of: decode(Array(answer[..<(end ?? answer.count)]))) {
      reading.words += 1
      if seen.insert(word).inserted {
        reading.valence += lexicon.valence(of: word)
      } else if word.count >= 4 {
        reading.repeats += 1
      }
    }
    return reading
  }
}
