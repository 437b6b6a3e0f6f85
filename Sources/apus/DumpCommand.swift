// `apus dump`: everything that a model computes on one batch, for comparison with anything.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Tensors
import Training
import Transformer

struct DumpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Writes logits, losses, hidden states, router values and every gradient of a batch.",
    discussion: """
      The model is a folder with config.json and model.safetensors of transformers' Mixtral, OLMoE \
      or Qwen3-MoE. The batch holds input_ids and labels [sequences, length] (int64; -100 is \
      ignored) and may hold attention_mask.
      """)

  @Option(help: "Folder with config.json and safetensors.")
  var model: String
  @Option(help: "Safetensors file with input_ids, labels and perhaps attention_mask.")
  var batch: String
  @Option(help: "Safetensors file to write.")
  var output: String
  @Option(help: "float32 or float64.")
  var precision = Precision.float32
  @Option(help: "Threads of a rank; 0 is the processors that may be used / the machine's ranks.")
  var threads = 0

  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func run() throws {
    try ranks.run { world in try dump(on: world) }
  }

  private func dump(on world: Communicator) throws {
    let (folder, dumped, split, batchSum) = try world.agreeing {
      let folder = try ModelFolder(self.model)
      let sizes = folder.configuration.model
      let batch = try DumpBatch(file: self.batch, vocabulary: sizes.vocabulary)
      let split = try Layout(
        layout.layout ?? "", ranks: world.size, suggesting: sizes.allows)
      try sizes.validate(split)
      // Weights and gradients.
      try sizes.checkFits(
        held: 2, dealt: 0, precision: precision, layout: split,
        copies: RankOptions.onThisMachine(inProcess: ranks.ranksInProcess))
      return (folder, batch, split, try Digest.sha256(file: self.batch))
    }
    let watchdog = try RankStart(
      command: "dump",
      fields: [
        ("the model's configuration", folder.configuration.model.canonicalText),
        ("batch", batchSum),
      ], folder: URL(fileURLWithPath: output).deletingLastPathComponent().path,
      accepted: "an --output in a folder that all hosts share",
      watchdogSeconds: RunSettings().watchdogSeconds
    ).begin(on: world)
    defer { withExtendedLifetime(watchdog) {} }
    let device = try world.agreeing {
      try Device(
        precision: precision,
        threads: RankOptions.threads(threads, inProcess: ranks.ranksInProcess))
    }
    let mesh = ProcessMesh(world, layout: split)
    let loaded = try LanguageModel(folder.configuration.model, on: device, mesh: mesh, seed: 0)
    try loaded.parameters.checkWiring(over: world)
    try world.agreeing { try folder.load(into: loaded) }
    try loaded.dump(dumped, naming: folder.naming, to: output, over: mesh)
  }
}

extension Precision: ExpressibleByArgument {}
