// `apus import` and `apus export`: between model folders of transformers and checkpoints.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Makes a checkpoint, from which any stage can start, of a transformers folder.",
    discussion: """
      Mixtral, OLMoE and Qwen3-MoE, with one tensor for each expert or fused. A tokenizer.json in the \
      folder is taken along; one that Apus cannot read is refused.
      """)

  @Argument(help: "Folder with config.json and safetensors.")
  var folder: String
  @Option(help: "Name of the run that the checkpoint belongs to.")
  var name: String
  @Option(help: "Where runs are kept.")
  var runs = "checkpoints"
  @Option(help: "float32 or float64.")
  var precision = Precision.float32
  @Flag(help: "Leave the folder's tokenizer.json out.")
  var noTokenizer = false

  func run() throws {
    let source = try ModelFolder(folder)
    var configuration = RunConfiguration()
    configuration.run.name = name
    configuration.run.folder = runs
    configuration.run.precision = precision
    configuration.model = source.configuration.model
    let store = try CheckpointStore(folder: runs, run: name)
    if let old = try store.checkpoints().last {
      throw FileError(old.path, "is there already; choose another --name")
    }
    let tokenizer = try tokenizer(vocabulary: source.configuration.model.vocabulary)
    // Weights and moments.
    try source.configuration.model.checkFits(held: 1, dealt: 2, precision: precision)
    let device = try Device(precision: precision, threads: RankOptions.threads())
    let mesh = ProcessMesh.single()
    let model = try LanguageModel(source.configuration.model, on: device, mesh: mesh, seed: 0)
    try source.load(into: model)
    let trainer = Trainer(
      model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: 0)
    let state = RunState(step: 0, seed: 0, tokens: 0, corpus: "", tokenizer: "")
    try trainer.save(
      state, configuration: configuration.checkpointYAML, tokenizer: tokenizer, to: store, keep: 0)
    say(
      "\(store.begin(step: 0).finalPath): \(model.parameters.count) parameters of "
        + "\(source.configuration.family.rawValue)")
  }

  /// The folder's tokenizer.json as a stage will read it; empty where there is none. Throws `TextError`
  /// for one that no stage could start with.
  private func tokenizer(vocabulary: Int) throws -> [UInt8] {
    let path = "\(folder)/tokenizer.json"
    guard !noTokenizer, Disk().exists(path) else { return [] }
    let bytes = try ReadableFile.contents(path)
    do {
      let size = try Tokenizer(json: bytes, source: path).vocabularySize
      guard size <= vocabulary else {
        throw TextError(
          path, "has \(size) entries, the model \(vocabulary); accepted: \(vocabulary) at most")
      }
      return bytes
    } catch let error as TextError {
      throw TextError(
        error.place, "\(error.problem); --no-tokenizer imports the model without it")
    }
  }
}

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Writes a checkpoint as a folder that transformers loads.",
    discussion: """
      The nearest of Mixtral, OLMoE and Qwen3-MoE; settings that it cannot express are refused by \
      name.
      """)

  @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
  var checkpoint: String
  @Argument(help: "Folder to write.")
  var folder: String

  func run() throws {
    let loaded = try LoadedModel(checkpoint, threads: 1)
    let family = try ModelFolder.write(
      loaded.model, to: folder,
      maximumPositions: max(loaded.configuration.data.sequenceLength, 2048))
    if !loaded.tokenizer.isEmpty {
      try Disk().replace("\(folder)/tokenizer.json", with: loaded.tokenizer)
    }
    say("\(folder): \(loaded.model.parameters.count) parameters as \(family.rawValue)")
  }
}
