// The chain of stages as a user runs it: each subcommand from the checkpoint of the one before.

import Foundation
import Testing

@Suite struct StageCommandTests {
  @Test(arguments: Ranks.available)
  func `a pretrained model is fine-tuned, then learns preferences in both ways`(ranks: Ranks) throws
  {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("chain")
    try workshop.succeed([
      "tokenizer", "train", "corpus.txt", "--vocabulary", "310", "--output", "\(name).json",
      "--special", "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    ])
    try workshop.write(
      "\(name)-answers.jsonl",
      (0..<12).map {
        #"{"messages": [{"role": "user", "content": "fox \#($0)?"}, {"role": "assistant", "content": "lazy dogs \#($0 * $0)"}]}"#
      }.joined(separator: "\n"))
    try workshop.write(
      "\(name)-pairs.jsonl",
      (0..<12).map {
        #"{"prompt": [{"role": "user", "content": "fox \#($0)?"}], "chosen": "lazy dogs", "rejected": "brown \#($0)"}"#
      }.joined(separator: "\n"))
    try workshop.succeed(
      workshop.training(name, ["data.tokenizer=\(name).json", "training.steps=4"]), on: ranks)
    func stage(
      _ command: String, from start: String, _ file: String, _ settings: [String] = []
    ) throws -> Outcome {
      let all =
        [
          "run.name=\(name)-\(command)", "run.folder=runs", "data.start=runs/\(start)",
          "examples.training=\(name)-\(file).jsonl", "examples.evaluation=\(name)-\(file).jsonl",
          "training.steps=3", "schedule.warmup=0", "checkpoint.every=2",
        ] + settings
      try workshop.write(
        "\(name)-\(command).yaml",
        "run: {threads: 1}\ndata: {sequenceLength: 64}\ntraining: {batch: 4}\nsamples: {tokens: 4}\n"
      )
      return try workshop.run(
        [command, "\(name)-\(command).yaml"] + all.flatMap { ["--set", $0] }, on: ranks)
    }
    for (command, start, file, figure) in [
      ("sft", name, "answers", "\"supervised_tokens\":"),
      ("reward", "\(name)-sft", "pairs", "\"accuracy_low\":"),
      ("dpo", "\(name)-sft", "pairs", "\"rewards/margins\":"),
    ] {
      let outcome = try stage(command, from: start, file)
      #expect(outcome.status == 0, "\(command): \(outcome.errors)")
      #expect(outcome.output.contains("weights of runs/\(start)/step-0000000"))
      let metrics = String(
        decoding: try workshop.bytes("runs/\(name)-\(command)/metrics.jsonl"), as: UTF8.self)
      #expect(metrics.contains("\"kind\":\"stage\"") && metrics.contains(figure))
      let resumed = try workshop.run(
        [
          command, "\(name)-\(command).yaml", "--resume", "--set", "run.name=\(name)-\(command)",
          "--set", "run.folder=runs", "--set", "data.start=runs/\(start)", "--set",
          "examples.training=\(name)-\(file).jsonl", "--set", "training.steps=4", "--set",
          "schedule.warmup=0",
        ], on: ranks)
      #expect(resumed.status == 0 && resumed.output.contains("resumed from"), "\(resumed.errors)")
    }
    // Losses that are known before anything is learnt.
    for command in ["reward", "dpo"] {
      let metrics = String(
        decoding: try workshop.bytes("runs/\(name)-\(command)/metrics.jsonl"), as: UTF8.self)
      let first = metrics.split(separator: "\n").first ?? ""
      let json = try #require(
        try JSONSerialization.jsonObject(with: Data(first.utf8)) as? [String: Any])
      let loss = try #require(json["loss"] as? Double)
      #expect(abs(loss - log(2)) < 1e-5, "\(command): \(loss)")
    }
    let said = try workshop.succeed(
      ["generate", "runs/\(name)-dpo", "--prompt", "fox", "--tokens", "4"]).output
    #expect(!said.isEmpty)
  }

  @Test func `a stage without examples, or a start that is none, is refused`() throws {
    let workshop = try Workshop.shared()
    try workshop.write("stage.yaml", "run: {threads: 1}\n")
    expectRefusal(
      try workshop.run(["sft", "stage.yaml"]), status: 64,
      says: ["examples.training is \"\"", "accepted: a JSONL file, to run sft on"])
    expectRefusal(
      try workshop.run([
        "reward", "stage.yaml", "--set", "examples.training=none.jsonl", "--set",
        "data.start=nowhere",
      ]), says: ["nowhere: is no folder"])
    expectRefusal(
      try workshop.run(["dpo", "stage.yaml", "--set", "examples.training=none.jsonl"]),
      status: 64, says: ["data.start is \"\"", "preference.reference none"])
  }
}
