// A chain of stages from one file: run, skipped, gone on with, made anew, refused.

import Foundation
import Testing

@Suite struct PipelineTests {
  /// A chain of every kind but pretraining, for which there is a corpus.
  private func chain(_ name: String, steps: Int = 2, skill: Double = 0.8) -> String {
    """
    name: \(name)
    folder: runs
    task: {name: sort, skill: \(skill), lengths: [4, 5]}
    evaluation: {prompts: 24}
    settings:
      run: {threads: 1, precision: float64}
      data: {sequenceLength: 16}
      schedule: {warmup: 0}
      samples: {tokens: 0}
      checkpoint: {keep: 1}
      training: {steps: 2, batch: 8}
    steps:
      - {kind: task, name: files, examples: 64, prompts: 32, evaluation: 16}
      - kind: sft
        settings:
          data: {tokenizer: files/tokenizer.json}
          examples: {training: files/sft.jsonl, evaluation: files/evaluation.jsonl}
          training.steps: 20
          optimizer.learningRate: 0.01
          model: {width: 32, layers: 1, heads: 2, keyValueHeads: 1, router: {experts: 2, expertWidth: 32}}
      - {kind: pairs, from: sft, pairs: 16, evaluationPairs: 8}
      - kind: reward
        settings: {data: {start: sft}, examples: {training: pairs/pairs.jsonl}}
      - kind: dpo
        settings:
          data: {start: sft}
          examples: {training: pairs/pairs.jsonl, evaluation: pairs/evaluation.jsonl}
      - kind: ppo
        settings:
          data: {start: sft}
          examples: {training: files/prompts.jsonl}
          rollout: {rewardModel: reward, answerTokens: 6, minibatches: 2}
          ppo: {critic: reward}
          training: {steps: \(steps)}
      - {kind: grpo, name: group, config: \(name)-group.yaml, settings: {data.start: sft}}
    """
  }

  private func write(_ workshop: Workshop, _ name: String, _ text: String) throws {
    try workshop.write("\(name).yaml", text)
    try workshop.write(
      "\(name)-group.yaml",
      """
      examples: {training: files/prompts.jsonl}
      rollout: {reward: task, task: sort, answerTokens: 6, minibatches: 1}
      grpo: {groupSize: 4}
      """)
  }

  private func table(_ workshop: Workshop, _ name: String) throws -> [[String: Any]] {
    let json = try JSONSerialization.jsonObject(
      with: Data(try workshop.bytes("runs/\(name)/pipeline.json")))
    return try #require((json as? [String: Any])?["steps"] as? [[String: Any]])
  }

  @Test(arguments: Ranks.available)
  func `a chain runs once, ends with one table, and goes on where a step has grown`(
    ranks: Ranks
  ) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("line")
    try write(workshop, name, chain(name))
    let first = try workshop.succeed(["pipeline", "\(name).yaml"], on: ranks).output
    for (number, step) in ["files", "sft", "pairs", "reward", "dpo", "ppo", "group"].enumerated() {
      #expect(first.contains("[\(number + 1)/7] \(step): begins"), "\(first)")
    }
    let rows = try table(workshop, name)
    #expect(
      rows.map { $0["kind"] as? String } == [
        "task", "sft", "pairs", "reward", "dpo", "ppo", "grpo",
      ])
    let judged = rows.map { $0["evaluation"] as? [String: Any] }
    #expect(judged.map { $0 != nil } == [false, true, false, false, true, true, true])
    // The reference is compared with nothing, all others with it.
    #expect(
      judged[1]?["win_rate"] == nil
        && judged[4]?["against"] as? String == judged[1]?["checkpoint"] as? String)
    for row in [4, 5, 6] {
      let divergence = (judged[row]?["kl"] as? [String: Any])?["mean"] as? Double
      #expect(try #require(divergence) > 0)
    }
    #expect(rows[1]["held_out_loss"] is Double && rows[2]["pairs.bayes_accuracy"] is Double)
    let markdown = String(decoding: try workshop.bytes("runs/\(name)/pipeline.md"), as: UTF8.self)
    #expect(markdown.split(separator: "\n").filter { $0.hasPrefix("| ") }.count == 10)
    #expect(first.contains("task reward") && first.contains("against sft"))

    // Nothing is left to do, on whatever ranks.
    let again = try workshop.succeed(["pipeline", "\(name).yaml"]).output
    #expect(again.components(separatedBy: ": done before, in ").count == 8)
    #expect(!again.contains("begins") && !again.contains("an answer to each"))
    #expect(
      try table(workshop, name).map { $0["seconds"] as? Double }
        == rows.map { $0["seconds"] as? Double })

    try write(workshop, name, chain(name, steps: 4))
    let grown = try workshop.succeed(["pipeline", "\(name).yaml"], on: ranks).output
    #expect(
      grown.contains("[6/7] ppo: goes on")
        && grown.contains("resumed from runs/\(name)/ppo/step-00000002"))
    #expect(grown.contains("runs/\(name)/ppo/step-00000004: an answer to each of 24 prompts"))
    #expect(grown.components(separatedBy: ": done before, in ").count == 7)

    // A copy of the policy has its critic, and goes on as the run itself.
    let copy = workshop.fresh("copy")
    try workshop.succeed(["checkpoint", "copy", "runs/\(name)/ppo", "runs/\(copy)"], on: ranks)
    let copied = try contents(workshop, "runs/\(copy)/step-00000004")
    #expect(try copied == contents(workshop, "runs/\(name)/ppo/step-00000004"))
    #expect(Set(copied.keys.map { $0.prefix { $0 != " " } }).count == 4)
    for (folder, run) in [("runs/\(name)", "ppo"), ("runs", copy)] {
      try workshop.succeed(
        [
          "ppo", "\(folder)/\(run)/step-00000004/configuration.yaml", "--resume", "--set",
          "run.folder=\(folder)", "--set", "run.name=\(run)", "--set", "training.steps=5",
        ], on: ranks)
    }
    #expect(
      try workshop.tensors("runs/\(copy)/step-00000005")
        == workshop.tensors("runs/\(name)/ppo/step-00000005"))
  }

  /// A checkpoint's tensors by kind and name, however they are dealt to files.
  private func contents(_ workshop: Workshop, _ checkpoint: String) throws -> [String: [UInt8]] {
    var all: [String: [UInt8]] = [:]
    for (file, bytes) in try workshop.tensors(checkpoint) {
      for tensor in try TensorFile(bytes).tensors {
        all["\(file.prefix { $0 != "-" }) \(tensor.name)"] = tensor.bytes
      }
    }
    return all
  }

  @Test func `what was made of other settings is refused, and made anew when told so`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("line")
    func short(_ skill: Double, rate: Double = 0.01) -> String {
      chain(name, skill: skill).components(separatedBy: "  - {kind: pairs")[0]
        .replacingOccurrences(of: "learningRate: 0.01", with: "learningRate: \(rate)")
    }
    try write(workshop, name, short(0.8))
    try workshop.succeed(["pipeline", "\(name).yaml"])
    let before = try workshop.tensors("runs/\(name)/sft/step-00000020")
    try write(workshop, name, short(0.8, rate: 0.02))
    expectRefusal(
      try workshop.run(["pipeline", "\(name).yaml"]),
      says: [
        "\(name).yaml, step sft: runs/\(name)/sft: was made with other settings or files",
        "optimizer.learningRate was 0.01 and is 0.02", "--force",
      ])
    try write(workshop, name, short(0.5))
    expectRefusal(
      try workshop.run(["pipeline", "\(name).yaml"]),
      says: ["step files", "task.skill was 0.8 and is 0.5"])
    // Other files make another model.
    let anew = try workshop.succeed(["pipeline", "\(name).yaml", "--force"]).output
    #expect(anew.contains("files: begins") && anew.contains("sft: begins"))
    #expect(try workshop.tensors("runs/\(name)/sft/step-00000020") != before)
    try write(workshop, name, short(0.8))
    try workshop.succeed(["pipeline", "\(name).yaml", "--force"])
    #expect(try workshop.tensors("runs/\(name)/sft/step-00000020") == before)
    // A folder that the pipeline did not make is not its own.
    try workshop.remove("runs/\(name)/.steps")
    expectRefusal(
      try workshop.run(["pipeline", "\(name).yaml"]), says: ["step files", "not of this pipeline"])
  }

  @Test func `a chain that was stopped goes on to the very same end`() throws {
    let workshop = try Workshop.shared()
    func prepared(_ word: String) throws -> String {
      let name = workshop.fresh(word)
      let text = chain(name).components(separatedBy: "  - {kind: pairs")[0]
        .replacingOccurrences(of: "training.steps: 20", with: "training.steps: 1500")
      try write(workshop, name, text)
      return name
    }
    let (whole, cut) = (try prepared("whole"), try prepared("cut"))
    try workshop.succeed(["pipeline", "\(whole).yaml"])
    let child = try workshop.start(Ranks.one.words(["pipeline", "\(cut).yaml"]))
    #expect(workshop.wait(for: 20, of: "\(cut)/sft", child))
    child.send(SIGUSR1)
    let stopped = child.wait()
    #expect(stopped.status == 75 && stopped.output.contains("stopped in step sft"))
    let rest = try workshop.succeed(["pipeline", "\(cut).yaml"]).output
    #expect(rest.contains("files: done before") && rest.contains("[2/2] sft: goes on"))
    let last = "sft/step-00001500"
    #expect(
      try workshop.tensors("runs/\(cut)/\(last)") == workshop.tensors("runs/\(whole)/\(last)"))
  }

  @Test func `a model of text is pretrained and tuned by paths of earlier steps`() throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("line")
    try workshop.succeed([
      "tokenizer", "train", "corpus.txt", "--vocabulary", "320", "--output", "\(name).json",
      "--special", "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    ])
    let asked = #"[{"role": "user", "content": "Define: fox"}]"#
    try workshop.write(
      "\(name)-answers.jsonl",
      #"{"prompt": \#(asked), "completion": [{"role": "assistant", "content": "lazy good dogs"}]}"#)
    try workshop.write("\(name)-prompts.jsonl", #"{"prompt": \#(asked)}"#)
    try workshop.write("\(name)-lexicon.txt", "good\t1.9\t0.9\nlazy\t-1.5\n")
    try workshop.write(
      "\(name).yaml",
      """
      folder: runs
      task:
        name: lexicon
        lexicon: \(name)-lexicon.txt
        prompts: \(name)-prompts.jsonl
        evaluationPrompts: \(name)-prompts.jsonl
        answerTokens: 24
      evaluation: {prompts: 1}
      settings:
        run: {threads: 1}
        samples: {tokens: 0}
        schedule: {warmup: 0}
        optimizer: {learningRate: 0.01}
      steps:
        - kind: pretrain
          config: tiny.yaml
          settings: {data.tokenizer: \(name).json, training.steps: 4}
        - kind: sft
          settings:
            data: {start: pretrain, sequenceLength: 64}
            examples: {training: \(name)-answers.jsonl}
            training: {steps: 60, batch: 4}
        - {kind: pairs, from: sft, pairs: 4, evaluationPairs: 2}
        - kind: dpo
          settings:
            data: {start: sft, sequenceLength: 64}
            examples: {training: pairs/pairs.jsonl}
            training: {steps: 2, batch: 4}
      """)
    let said = try workshop.succeed(["pipeline", "\(name).yaml"]).output
    #expect(said.contains("bits/char") && said.contains("valence"))
    let pairs = String(
      decoding: try workshop.bytes("runs/\(name)/pairs/pairs.jsonl"), as: UTF8.self)
    #expect(pairs.split(separator: "\n").count == 4)
    #expect(pairs.hasPrefix(#"{"prompt":[{"role":"user","content":"Define: fox"}],"chosen":""#))
    let rows = try table(workshop, name)
    #expect(rows[0]["bits_per_character"] is Double)
    #expect((rows[3]["evaluation"] as? [String: Any])?["kl"] != nil)
  }

  static let refused: [(what: String, text: String, says: [String], status: Int32)] = [
    ("no steps", "name: x", ["steps is missing", "a list of steps"], 64),
    ("an empty list", "steps: []", ["steps is []"], 64),
    ("a step that is a word", "steps: [sft]", ["a step is sft", "a mapping"], 64),
    ("an unknown kind", "steps:\n  - {kind: rlhf}", [":2:12", "kind is rlhf", "grpo"], 64),
    ("an unknown setting", "steps:\n  - {kind: sft, confg: x}", ["'confg'", "'config'"], 64),
    ("two steps alike", "steps: [{kind: sft}, {kind: sft}]", ["step sft", "another step"], 64),
    (
      "a setting of another kind", "steps: [{kind: sft, pairs: 3}]",
      ["step sft: pairs is no setting of the kind sft"], 64
    ),
    (
      "settings of no stage", "steps: [{kind: task, settings: {a: 1}}]",
      ["settings are for stages"], 64
    ),
    (
      "pairs of nothing", "steps: [{kind: pairs, from: sft}]",
      ["from is 'sft'", "an earlier step"], 64
    ),
    (
      "pairs of a later step", "steps: [{kind: task}, {kind: pairs, from: sft}, {kind: sft}]",
      ["an earlier step: task"], 64
    ),
    ("no pairs", "steps: [{kind: task}, {kind: pairs, from: task, pairs: 0}]", ["pairs is 0"], 64),
    ("a name that is a path", "steps: [{kind: sft, name: a/b}]", ["name is 'a/b'"], 64),
    (
      "a reference that is no step", "evaluation: {against: x}\nsteps: [{kind: sft}]",
      ["evaluation.against is 'x'", "a step: sft"], 64
    ),
    (
      "a run's setting that is none",
      "folder: runs\nname: none\nsteps: [{kind: sft, settings: {training: {stepz: 3}}}]",
      ["step sft", "training.stepz", "training.steps"], 64
    ),
    (
      "a stage without its examples", "folder: runs\nname: none\nsteps: [{kind: sft}]",
      ["step sft", "examples.training is \"\""], 64
    ),
    (
      "a start that is not there",
      "folder: runs\nname: none\nsteps: [{kind: dpo, settings: {data.start: sft, examples.training: x}}]",
      ["step dpo", "sft"], 1
    ),
    (
      "a configuration that is not there",
      "folder: runs\nname: none\nsteps: [{kind: sft, config: gone.yaml}]",
      ["step sft", "gone.yaml"], 64
    ),
  ]

  @Test(arguments: refused.indices)
  func `a file that cannot be run is refused with step and field`(_ place: Int) throws {
    let workshop = try Workshop.shared()
    let (what, text, says, status) = Self.refused[place]
    let name = workshop.fresh("refused")
    try workshop.write("\(name).yaml", text)
    let outcome = try workshop.run(["pipeline", "\(name).yaml"])
    expectRefusal(outcome, status: status, says: says + ["\(name).yaml"])
    #expect(outcome.output.isEmpty || status == 1, "\(what): \(outcome.output)")
  }

  @Test func `the pipelines that come with the project are read`() throws {
    let configs = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../configs").standardized.path
    let workshop = try Workshop.shared()
    var count = 0
    for folder in try FileManager.default.contentsOfDirectory(atPath: configs).sorted() {
      let path = "\(configs)/\(folder)/pipeline.yaml"
      guard FileManager.default.fileExists(atPath: path) else { continue }
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text.hasPrefix("# "))
      #expect(text.contains("#   apus pipeline configs/\(folder)/pipeline.yaml"))
      let listed = try workshop.succeed(["pipeline", path, "--list"]).output
      #expect(listed.contains("sft (sft) in checkpoints/"), "\(listed)")
      count += 1
    }
    #expect(count >= 3)
  }
}
