// What sorting and reversing share: prompts of digits, one right answer, a reward for each place.

import Kernels

/// A task that turns a row of digits into another of the same length.
public protocol DigitTask: ToyTask {
  /// How many digits a prompt has, each number equally often.
  var lengths: ClosedRange<Int> { get }
  /// Share of a demonstration's digits that are right; the others are drawn at random.
  var skill: Double { get }
  func solution(of digits: [Int32]) -> [Int32]
}

extension DigitTask {
  /// `<|pad|> <|endoftext|> <bos> = 0 … 9`
  public var vocabulary: Vocabulary { Vocabulary(words: ["="] + (0..<10).map(String.init)) }
  public var promptLimit: Int { lengths.upperBound + 2 }
  public var answerLimit: Int { lengths.upperBound + 1 }
  public var goldMayTrain: Bool { true }

  /// `<bos> 3 1 2 =`. Evaluation prompts differ from training prompts in their answer too.
  public func prompt(_ source: PromptSource, index: Int) -> [Int32] {
    let key = key(source, "prompts").derived(UInt64(index))
    var lengthDraw = KeyedDraws(key)
    let length = lengthDraw.integer(in: lengths)
    var attempt: UInt64 = 0
    while true {
      var draws = KeyedDraws(key.derived(attempt))
      let digits = (0..<length).map { _ in firstDigit + Int32(draws.integer(below: 10)) }
      if isHeldOut(solution(of: digits)) == source.isEvaluation {
        return [Vocabulary.beginning] + digits + [equals]
      }
      attempt += 1
    }
  }

  public func demonstration(of prompt: [Int32], key: RandomKey) -> [Int32] {
    var draws = KeyedDraws(key)
    let digits = solution(of: digits(of: prompt)).map { digit in
      draws.isTrue(probability: skill) ? digit : firstDigit + Int32(draws.integer(below: 10))
    }
    return digits + [Vocabulary.end]
  }

  /// 0.9 · share of places right + 0.1 if the end stands right.
  public func gold(_ answer: [Int32], to prompt: [Int32]) -> Double {
    Answer(answer).agreement(with: solution(of: digits(of: prompt)))
  }

  /// `gold`, and `exact`: the whole answer right and ended.
  public func metrics(of answer: [Int32], to prompt: [Int32]) -> [Metric] {
    let isExact = Answer(answer).isExactly(solution(of: digits(of: prompt)))
    return [.mean("gold", gold(answer, to: prompt)), .share("exact", isExact)]
  }

  private var equals: Int32 { Vocabulary.beginning + 1 }
  private var firstDigit: Int32 { equals + 1 }

  private func digits(of prompt: [Int32]) -> [Int32] {
    require(prompt.count > 2, "prompt \(prompt)")
    return Array(prompt[1..<(prompt.count - 1)])
  }
}

/// Lengths that a digit task accepts: shorter rows are too few to be parted, longer ones do not fit
/// the number that tells them apart.
let digitLengthLimits = 4...10
