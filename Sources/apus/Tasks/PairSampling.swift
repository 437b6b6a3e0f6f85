// Pairs of a model's own answers, labelled by a judge who sees their gold by chance.

import Kernels
import Parallel
import Tasks
import Text
import Training
import Transformer

/// Draws two answers to each prompt and lets the task's gold choose between them (Bradley & Terry
/// 1952). Nothing of the gold but the choices goes into a file.
struct PairSampling {
  /// What was drawn, and what of it cannot stand in a file of preferences.
  struct Drawn {
    var pairs: [(prompt: TaskPrompt, judged: PreferencePair)] = []
    var leftOut = 0
    /// The best accuracy on these labels that any reward can have.
    var bayesAccuracy = 0.0

    func summary(_ path: String) -> String {
      "\(path): \(pairs.count) pairs, \(leftOut) drawn ones left out; best possible accuracy on their "
        + "labels \(Figure.fixed(bayesAccuracy, 4))"
    }
  }

  /// Pairs that are asked for at a time; part of what is drawn, whatever the layout.
  private static let round = 128
  /// Other prompts than those of the files, which have 1.
  static let usualSeed: UInt64 = 2

  let model: LanguageModel
  let questions: TaskQuestions
  let seed: UInt64
  /// Pairs whose gold lies closer are left out: a judge with nothing to choose by is not asked.
  var leastGap = 0.0

  /// So many usable pairs of answers to training prompts, or to those for evaluation. Every rank calls
  /// it alike and gets all. Throws where the model hardly gives any.
  func draw(_ wanted: Int, evaluation: Bool) throws -> Drawn {
    var drawn = Drawn()
    var kept: [AnswerPair] = []
    var attempts = 0
    // Other numbers than those of the training pairs, for the model's draws and the judge's.
    let first = evaluation ? 1 << 32 : 0
    while kept.count < wanted {
      guard attempts < 16 * wanted + 4 * Self.round else {
        throw ArgumentError(
          "only \(kept.count) of \(attempts) pairs of answers can be used (others are equal, empty, "
            + "without an end, closer in gold than the least gap, or hold control tokens); accepted: a "
            + "model that answers variously and ends its answers, fewer pairs, or a smaller gap")
      }
      let numbers = attempts..<(attempts + Self.round)
      attempts += Self.round
      let prompts = numbers.map {
        evaluation ? questions.evaluation($0) : questions.training(seed, $0)
      }
      let continuations = model.generate(
        sharing: prompts.flatMap { [$0.tokens, $0.tokens] }, questions.sampling(seed: seed),
        samples: numbers.flatMap { [first + 2 * $0, first + 2 * $0 + 1] })
      let pairs = prompts.indices.map { index in
        AnswerPair(
          prompt: prompts[index].tokens, first: continuations[2 * index].tokens,
          second: continuations[2 * index + 1].tokens)
      }
      for (index, pair) in pairs.enumerated() where kept.count < wanted {
        guard isUsable(pair) else {
          drawn.leftOut += 1
          continue
        }
        let judged = questions.task.labels(
          for: [pair], seed: seed, firstIndex: first + numbers.lowerBound + index)
        drawn.pairs.append((prompts[index], judged[0]))
        kept.append(pair)
      }
    }
    drawn.bayesAccuracy = questions.task.bayesAccuracy(of: kept)
    return drawn
  }

  /// A line of preferences holds two different texts, and the stop token comes behind both.
  private func isUsable(_ pair: AnswerPair) -> Bool {
    func gold(_ answer: [Int32]) -> Double { questions.task.gold(answer, to: pair.prompt) }
    guard abs(gold(pair.first) - gold(pair.second)) >= leastGap else { return false }
    let texts = [pair.first, pair.second].map(text)
    guard let first = texts[0], let second = texts[1] else { return false }
    return !first.utf8.elementsEqual(second.utf8)
  }

  /// An answer as a file holds it; nil where it does not end, says nothing, or holds what no text can.
  private func text(_ answer: [Int32]) -> String? {
    guard answer.last == questions.template.stop else { return nil }
    let words = answer.dropLast()
    let special = Set(questions.tokenizer.specialTokens.map(\.id))
    guard !words.contains(where: special.contains) else { return nil }
    let text = questions.tokenizer.decode(words)
    let isEmpty = text.allSatisfy(\.isWhitespace)
    return isEmpty || text.contains("\u{fffd}") || text.contains("\0") ? nil : text
  }

  /// Lines `{"prompt", "chosen", "rejected"}`.
  func lines(_ drawn: Drawn) -> [UInt8] {
    drawn.pairs.flatMap { prompt, judged in
      let line = JSONObject([
        ("prompt", prompt.json), ("chosen", .string(text(judged.chosen) ?? "")),
        ("rejected", .string(text(judged.rejected) ?? "")),
      ])
      return Array((JSON.object(line).compact + "\n").utf8)
    }
  }
}
