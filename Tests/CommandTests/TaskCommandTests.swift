// Toy tasks as a user has them: files, a model trained on them, pairs of its answers, its evaluation.

import Foundation
import Testing

@Suite struct TaskCommandTests {
  private func rows(_ workshop: Workshop, _ path: String) throws -> [[String: String]] {
    try String(decoding: workshop.bytes(path), as: UTF8.self).split(separator: "\n").map {
      try #require(
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String])
    }
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  /// A model that has learnt little of a task, and another.
  private func trained(_ workshop: Workshop, _ task: [String]) throws -> (
    files: String, early: String, late: String
  ) {
    let name = workshop.fresh("task")
    try workshop.succeed(
      ["task", "write"] + task
        + ["--folder", name, "--examples", "256", "--prompts", "16", "--evaluation", "32"])
    try workshop.write(
      "\(name).yaml",
      """
      run: {folder: runs, threads: 1, precision: float64}
      data: {tokenizer: \(name)/tokenizer.json, sequenceLength: 40}
      examples: {training: \(name)/sft.jsonl, evaluation: \(name)/evaluation.jsonl}
      model: {width: 32, layers: 2, heads: 2, keyValueHeads: 1, router: {experts: 4, expertWidth: 32}}
      optimizer: {learningRate: 0.01}
      training: {batch: 16}
      schedule: {warmup: 2}
      samples: {tokens: 0}
      """)
    for (word, steps) in [("early", 12), ("late", 24)] {
      try workshop.succeed([
        "sft", "\(name).yaml", "--set", "run.name=\(name)-\(word)", "--set",
        "training.steps=\(steps)",
      ])
    }
    return (name, "runs/\(name)-early", "runs/\(name)-late")
  }

  @Test func `files are written whole, once, and alike`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("files")
    let words = [
      "task", "write", "sort", "--skill", "0.7", "--examples", "20", "--evaluation", "6",
    ]
    let said = try workshop.succeed(words + ["--folder", "\(name)/a"]).output
    #expect(said.contains("sort, vocabulary 15; 20 demonstrations, 4000 prompts, 6 to evaluate"))
    #expect(
      try workshop.names("\(name)/a") == [
        "evaluation-prompts.jsonl", "evaluation.jsonl", "prompts.jsonl", "sft.jsonl",
        "tokenizer.json",
      ])
    let shown = try rows(workshop, "\(name)/a/sft.jsonl")
    #expect(shown.count == 20)
    #expect(shown.allSatisfy { $0.keys.sorted() == ["completion", "prompt"] })
    for row in shown {
      let digits = row["prompt"]!.split(separator: " ").dropFirst().dropLast()
      #expect(row["prompt"]!.hasPrefix("<bos> ") && row["prompt"]!.hasSuffix(" ="))
      #expect(row["completion"]!.split(separator: " ").count == digits.count)
    }
    let held = try rows(workshop, "\(name)/a/evaluation.jsonl").map { $0["prompt"]! }
    #expect(
      try rows(workshop, "\(name)/a/evaluation-prompts.jsonl") == held.map { ["prompt": $0] })
    let asked = try rows(workshop, "\(name)/a/prompts.jsonl").map { $0["prompt"]! }
    #expect(Set(asked).isDisjoint(with: held) && Set(asked).count > 3900)

    expectRefusal(
      try workshop.run(words + ["--folder", "\(name)/a"]),
      says: ["\(name)/a/tokenizer.json: is there already", "--force"])
    try workshop.succeed(words + ["--folder", "\(name)/a", "--force", "--seed", "2"])
    #expect(try rows(workshop, "\(name)/a/sft.jsonl") != shown)
    try workshop.succeed(words + ["--folder", "\(name)/a", "--force"])
    #expect(try rows(workshop, "\(name)/a/sft.jsonl") == shown)
  }

  static let refused: [Refusal] = [
    Refusal(
      "a task that is none", ["task", "write", "chess", "--folder", "x"],
      says: ["'chess'", "sort", "coloured-words", "secret"], status: 64),
    Refusal(
      "another task's option",
      ["task", "write", "coloured-words", "--folder", "x", "--skill", "0.5"],
      says: ["task.skill is 0.5", "coloured-words has no options"], status: 64),
    Refusal(
      "a skill above 1", ["task", "write", "sort", "--folder", "x", "--skill", "1.5"],
      says: ["task.skill is 1.5", "0 to 1"], status: 64),
    Refusal(
      "lengths that no digit task has",
      ["task", "write", "sort", "--folder", "x", "--lengths", "2-8"],
      says: ["task.lengths is [2, 8]", "from 4 to 10"], status: 64),
    Refusal(
      "lengths that are no numbers",
      ["task", "write", "sort", "--folder", "x", "--lengths", "few"],
      says: ["--lengths is 'few'"], status: 64),
    Refusal(
      "no examples", ["task", "write", "sort", "--folder", "x", "--examples", "0"],
      says: ["--examples is 0"], status: 64),
    Refusal(
      "pairs of a model of text",
      ["task", "pairs", "sort", Workshop.run, "--pairs", "4", "--output", "p"],
      says: ["another vocabulary than the task sort", "apus task write sort"]),
    Refusal(
      "an evaluation of a model of text", ["task", "evaluate", "secret", Workshop.run],
      says: ["another vocabulary than the task secret"]),
    Refusal(
      "pairs without a file for those to evaluate",
      [
        "task", "pairs", "sort", Workshop.run, "--pairs", "4", "--output", "p",
        "--evaluation-pairs", "4",
      ], says: ["belong together"], status: 64),
    Refusal(
      "best of falling numbers",
      ["task", "evaluate", "sort", Workshop.run, "--best-of", "4,1", "--reward-model", "x"],
      says: ["--best-of is '4,1'", "rising"], status: 64),
    Refusal(
      "best of without a judge", ["task", "evaluate", "sort", Workshop.run, "--best-of", "4"],
      says: ["belong together"], status: 64),
    Refusal(
      "files of a task of natural text", ["task", "write", "lexicon", "--folder", "x"],
      says: ["task.name is lexicon, whose prompts are in files", "sort"], status: 64),
    Refusal(
      "a lexicon that is not named",
      ["task", "pairs", "lexicon", Workshop.run, "--pairs", "4", "--output", "p"],
      says: ["task.lexicon is \"\"", "a file"], status: 64),
    Refusal(
      "a lexicon with an option of sort",
      ["task", "evaluate", "lexicon", Workshop.run, "--skill", "0.5"],
      says: ["task.skill is 0.5", "nothing for lexicon, which has lexicon, prompts"], status: 64),
    Refusal(
      "a judge that judges nothing",
      ["generate", Workshop.run, "--best-of", "2", "--reward-model", Workshop.run],
      says: ["has no scalar head", "apus reward"]),
  ]

  @Test(arguments: refused)
  func `what a task cannot do is refused`(refusal: Refusal) throws {
    expectRefusal(
      try Workshop.shared().run(refusal.arguments), status: refusal.status, says: refusal.says)
  }

  @Test func `pairs of answers are labelled, alike on every layout, and train a judge`() throws {
    let workshop = try Workshop.shared()
    let (files, _, model) = try trained(workshop, ["coloured-words"])
    func pairs(_ output: String, _ layout: [String] = [], on ranks: Ranks = .one) throws -> String {
      try workshop.succeed(
        [
          "task", "pairs", "coloured-words", model, "--pairs", "48", "--output", output,
          "--evaluation-pairs", "24", "--evaluation-output", "\(output).held",
        ] + layout, on: ranks
      ).output
    }
    let said = try pairs("\(files)/pairs.jsonl")
    let found = try rows(workshop, "\(files)/pairs.jsonl")
    #expect(found.count == 48)
    #expect(found.allSatisfy { $0.keys.sorted() == ["chosen", "prompt", "rejected"] })
    #expect(found.allSatisfy { $0["chosen"] != $0["rejected"] })
    let accuracies = said.matches(of: /their labels (0\.\d+)/).compactMap { Double($0.1) }
    #expect(accuracies.count == 2 && accuracies.allSatisfy { (0.5...1).contains($0) })
    let held = try rows(workshop, "\(files)/pairs.jsonl.held").map { $0["prompt"]! }
    #expect(Set(held).isDisjoint(with: found.map { $0["prompt"]! }) && held.count == 24)
    for (ranks, layout) in [
      (Ranks.twoThreads, ["--layout", "tensor=2"]), (.twoThreads, []),
      (.twoProcesses, ["--layout", "expert=2"]),
    ] where Ranks.available.contains(ranks) {
      let other = "\(files)/\(workshop.fresh("other")).jsonl"
      #expect(try pairs(other, layout, on: ranks).contains("48 pairs"))
      #expect(try workshop.bytes(other) == workshop.bytes("\(files)/pairs.jsonl"))
      #expect(try workshop.bytes("\(other).held") == workshop.bytes("\(files)/pairs.jsonl.held"))
    }
    expectRefusal(
      try workshop.run([
        "task", "pairs", "coloured-words", model, "--pairs", "1", "--output",
        "\(files)/pairs.jsonl",
      ]), says: ["is there already", "--force"])

    try workshop.write(
      "\(files)-judge.yaml", "run: {folder: runs, threads: 1}\ndata: {sequenceLength: 40}\n")
    try workshop.succeed([
      "reward", "\(files)-judge.yaml", "--set", "data.start=\(model)", "--set",
      "examples.training=\(files)/pairs.jsonl", "--set", "training.steps=8", "--set",
      "run.name=\(files)-judge", "--set", "schedule.warmup=0",
    ])
    let table = try workshop.succeed([
      "task", "evaluate", "coloured-words", model, "--prompts", "16", "--best-of", "1,2,8",
      "--reward-model", "runs/\(files)-judge", "--json",
    ]).output
    let best = try #require(try object(table)["best_of"] as? [[String: Double]])
    #expect(best.map { $0["n"] } == [1, 2, 8])
    #expect(best[0]["kl_bound"] == 0 && abs(best[2]["kl_bound"]! - (log(8) - 7.0 / 8)) < 1e-12)
    // More to choose from is never worse by the judge's own number.
    #expect(best[0]["proxy"]! < best[1]["proxy"]! && best[1]["proxy"]! < best[2]["proxy"]!)
    let answer = try workshop.succeed([
      "generate", model, "--prompt", "<bos> river bread :", "--length", "16", "--best-of", "4",
      "--reward-model", "runs/\(files)-judge", "--count", "2",
    ]).output
    #expect(answer.components(separatedBy: "the best of 4").count == 3)
    #expect(answer.components(separatedBy: "\n<bos> river bread : ").count == 3)
  }

  @Test func `a policy is compared with another, alike on every layout`() throws {
    let workshop = try Workshop.shared()
    let (_, early, late) = try trained(workshop, ["sort"])
    func evaluate(
      _ model: String, _ other: String, _ more: [String] = [], on ranks: Ranks = .one
    ) throws -> [String: Any] {
      try object(
        workshop.succeed(
          [
            "task", "evaluate", "sort", model, "--against", other, "--prompts", "60", "--samples",
            "2", "--json",
          ] + more, on: ranks
        ).output)
    }
    func number(_ report: [String: Any], _ path: String...) throws -> Double {
      var value: Any? = report
      for name in path { value = (value as? [String: Any])?[name] }
      return try #require(value as? Double)
    }
    let same = try evaluate(early, early)
    #expect(try number(same, "kl", "mean") == 0)
    let own = try number(same, "win_rate", "rate")
    #expect((0.35...0.65).contains(own), "\(own)")
    let grown = try evaluate(late, early)
    #expect(try number(grown, "kl", "mean") > 0.01)
    #expect(try number(grown, "drawn", "gold", "answers") == 120)
    let counts = try ["wins", "ties", "losses"].map { try number(grown, "win_rate", $0) }
    #expect(counts.reduce(0, +) == 120)
    #expect(
      abs(try number(grown, "win_rate", "rate") - (counts[0] + counts[1] / 2) / 120) < 1e-12)
    for (name, value) in [("drawn", "gold"), ("greedy", "exact")] {
      let mean = try number(grown, name, value, "mean")
      #expect(try number(grown, name, value, "low") <= mean)
      #expect(try number(grown, name, value, "high") >= mean)
    }
    let split = try evaluate(late, early, ["--layout", "tensor=2,expert=2"], on: .twoThreads)
    #expect(
      try number(split, "drawn", "gold", "mean") == number(grown, "drawn", "gold", "mean"))
    #expect(try number(split, "win_rate", "rate") == number(grown, "win_rate", "rate"))
    let divergence = try number(grown, "kl", "mean")
    #expect(abs(try number(split, "kl", "mean") - divergence) <= 1e-9 * divergence)
    let said = try workshop.succeed([
      "task", "evaluate", "sort", late, "--against", early, "--prompts", "8", "--show", "2",
    ]).output
    #expect(said.contains("win rate") && said.contains("exact over the vocabulary"))
    #expect(said.components(separatedBy: "  (gold ").count == 3)
  }
}
