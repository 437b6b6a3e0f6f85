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
  @Option(help: "Threads; 0 is the machine's cores.")
  var threads = 0

  func run() throws {
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let device = Device(precision: precision, threads: threads > 0 ? threads : cores)
    let folder = try ModelFolder(model)
    let batch = try DumpBatch(
      file: batch, vocabulary: folder.configuration.model.vocabulary)
    // Weights and gradients.
    try folder.configuration.model.checkFits(numbersPerParameter: 2, precision: precision)
    let mesh = ProcessMesh.single()
    let model = try LanguageModel(folder.configuration.model, on: device, mesh: mesh, seed: 0)
    try folder.load(into: model)
    try model.dump(batch, naming: folder.naming, to: output)
  }
}

extension Precision: ExpressibleByArgument {}
