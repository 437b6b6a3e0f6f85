// Best-of-n: what the answer that a reward model likes best is truly worth.

import ArgumentParser
import Kernels
import Parallel
import Stages
import Tasks
import Training
import Transformer

/// A reward model beside a policy.
struct RewardModel {
  let loaded: LoadedModel
  let score: AnswerScores

  /// Throws for a model without a scalar head, or whose vocabulary is not the policy's.
  init(_ loaded: LoadedModel, for policy: LoadedModel) throws {
    guard loaded.model.configuration.scalarHead != .none else {
      throw FileError(
        loaded.path, "has no scalar head; accepted: a reward model, which 'apus reward' makes")
    }
    guard loaded.tokenizer == policy.tokenizer else {
      throw FileError(
        loaded.path,
        "has another vocabulary than \(policy.path); accepted: a reward model with its tokenizer")
    }
    self.loaded = loaded
    score = AnswerScores(loaded.model, mesh: loaded.mesh)
  }
}

/// Best-of-n as a way to answer: more computing for a better answer.
struct BestContinuations {
  let rewardModel: RewardModel
  let of: Int

  /// For each of `count` answers the best of `of` drawn ones, with its prompt, and the reward model's
  /// number for it. Every rank calls it alike.
  func draw(
    _ count: Int, _ prompt: [Int32], _ options: SamplingOptions, from policy: LoadedModel
  ) throws -> [(score: Double, tokens: [Int32])] {
    let prompts = Array(repeating: prompt, count: count * of)
    let drawn = policy.model.generate(sharing: prompts, options)
    let scores = try rewardModel.score(prompts, drawn)
    return (0..<count).map { number in
      let own = (number * of)..<((number + 1) * of)
      let best = own.max { scores[$0] < scores[$1] }!
      return (scores[best], prompt + drawn[best].tokens)
    }
  }
}

/// A table over n: from the same answers, without bias, over all ways to choose n of them.
struct BestOfNTable {
  struct Row {
    let n: Int
    /// Nats from the policy, at most.
    let divergence: Double
    let proxy: Double
    let gold: Double
    let goldInterval: Interval
  }

  let rows: [Row]
  let prompts: Int

  /// Reads `1,4,16`: rising numbers of answers.
  static func counts(_ text: String) throws -> [Int] {
    let counts = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard counts.allSatisfy({ $0 >= 1 }), zip(counts, counts.dropFirst()).allSatisfy(<) else {
      throw ValidationError("--best-of is '\(text)'; accepted: rising numbers, such as 1,4,16")
    }
    return counts
  }

  /// Draws as many answers as the largest n to each prompt; every rank calls it alike.
  init(
    _ counts: [Int], policy: LoadedModel, rewardModel: RewardModel, _ questions: TaskQuestions,
    prompts: Int, seed: UInt64
  ) throws {
    let drawn = counts.max() ?? 1
    let asked = (0..<prompts).map { questions.evaluation($0).tokens }
    let answers = PolicyComparison(policy.model, mesh: policy.mesh)
      .ask(asked, samples: drawn, questions.sampling(seed: seed))
    let proxy = try rewardModel.score(answers.prompts, answers.drawn)
    let gold = answers.rewards { questions.task.gold($1, to: $0) }.drawn
    func best(_ n: Int, of values: [Double]) -> [Double] {
      (0..<prompts).map { prompt in
        let own = (prompt * drawn)..<((prompt + 1) * drawn)
        return BestOfN.reward(n, proxy: Array(proxy[own]), gold: Array(values[own]))
      }
    }
    rows = counts.map { n in
      let worth = best(n, of: gold)
      return Row(
        n: n, divergence: BestOfN.divergence(n),
        proxy: best(n, of: proxy).reduce(0, +) / Double(prompts),
        gold: worth.reduce(0, +) / Double(prompts),
        goldInterval: .bootstrap(
          worth, clusters: Array(0..<prompts), key: RandomKey(seed: seed, name: "best of \(n)")))
    }
    self.prompts = prompts
  }

  var text: String {
    let table = TextTable(
      [
        TextColumn("best of", width: 7), TextColumn("KL bound", width: 8),
        TextColumn("proxy", width: 8), TextColumn("gold", width: 8),
        TextColumn("95% interval", width: 18),
      ], width: .max)
    func figure(_ value: Double) -> String { Figure.fixed(value, 3) }
    let lines = rows.map { row in
      table.line([
        "\(row.n)", figure(row.divergence), figure(row.proxy), figure(row.gold),
        "\(figure(row.goldInterval.low)) to \(figure(row.goldInterval.high))",
      ])
    }
    return ([table.titles] + lines).map { "  " + $0 }.joined(separator: "\n")
  }

  var json: JSON {
    .array(
      rows.map { row in
        .object(
          JSONObject([
            ("n", .integer(Int64(row.n))), ("kl_bound", .number(row.divergence)),
            ("proxy", .number(row.proxy)), ("gold", .number(row.gold)),
            ("gold_low", .number(row.goldInterval.low)),
            ("gold_high", .number(row.goldInterval.high)),
          ]))
      })
  }
}
