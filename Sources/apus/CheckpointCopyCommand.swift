// `apus checkpoint copy`: a checkpoint read under one layout and written anew, whole.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Training
import Transformer

struct CheckpointCopyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "copy",
    abstract: "Reads a checkpoint, split over the ranks, and writes it as another run's.",
    discussion: """
      Weights and optimiser state, a critic's as well, are the same bits, whatever the layout; files are \
      dealt to as many writers as there are ranks. The copy can be gone on from with --resume.
      """)

  @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
  var checkpoint: String
  @Argument(help: "The new run's folder, which holds no checkpoint yet.")
  var target: String
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func run() throws {
    try ranks.run { world in try copy(on: world) }
  }

  private func copy(on world: Communicator) throws {
    let url = URL(fileURLWithPath: target)
    let (source, store) = try world.agreeing {
      let source = try CheckpointFolder(newestAt: checkpoint)
      let store = try CheckpointStore(
        folder: url.deletingLastPathComponent().path, run: url.lastPathComponent)
      if world.rank == 0, let old = try store.checkpoints().last {
        throw FileError(old.path, "is there already; choose another folder")
      }
      return (source, store)
    }
    let loaded = try LoadedModel(
      source.path,
      threads: RankOptions.threads(inProcess: ranks.ranksInProcess),
      world: world, layout: layout.layout)
    let trainer = Trainer(
      loaded.model, mesh: loaded.mesh, device: loaded.device,
      optimizer: Optimizer(loaded.model.parameters), clip: 0)
    // Checks every byte of it.
    let state = try trainer.load(source)
    let configuration = try world.agreeing {
      String(decoding: try source.contents(CheckpointPart.configuration), as: UTF8.self)
    }
    try trainer.save(
      state, configuration: configuration, tokenizer: loaded.tokenizer, to: store, keep: 0,
      addingFrom: source)
    if world.rank == 0 { say(store.begin(step: state.step).finalPath) }
  }
}
