// From which checkpoint a run goes on, and whether it may: asked by a stage before its first step.

import Parallel
import Training

/// What a run went on from.
struct ResumedCheckpoint {
  let path: String
  let step: Int
  let tokens: Int
  /// Of the stage.
  let carried: [Double]
  /// Newer checkpoints, none of them whole.
  let passedOver: [CheckpointInfo]
}

/// Finds, checks and loads the checkpoint of a run that goes on; every rank asks alike.
struct Resumption {
  let configuration: RunConfiguration
  /// Of the run at its start: tokenizer and all that is learnt from must be the checkpoint's.
  let state: RunState
  let store: CheckpointStore
  let world: Communicator

  /// Loads the newest whole checkpoint; nil if there is none.
  func load(into trainer: Trainer) throws -> ResumedCheckpoint? {
    let found = try world.agreeing { try wholeCheckpoint()?.step ?? -1 }
    let step = world.maximum(found)
    guard step >= 0 else { return nil }
    let (folder, damaged) = try world.agreeing {
      guard found == step else {
        throw FileError(store.path, "the newest step here is \(found), on other ranks \(step)")
      }
      let all = try store.checkpoints()
      return (all.last { $0.folder != nil }!.folder!, all.filter { $0.step > step })
    }
    do {
      try world.agreeing { try folder.verify(reader: world.rank, of: world.size) }
    } catch let failure as RanksFailed {
      throw DamagedCheckpoint(path: folder.path, failure: failure)
    }
    try world.agreeing { try checkFits(folder) }
    let loaded = try trainer.load(folder, isVerified: true)
    return ResumedCheckpoint(
      path: folder.path, step: loaded.step, tokens: loaded.tokens,
      carried: loaded.carried, passedOver: damaged)
  }

  /// A new run does not bury an old one's checkpoints.
  func refuseToOverwrite() throws {
    try world.agreeing {
      guard let old = try wholeCheckpoint() else { return }
      throw FileError(
        store.path,
        "holds a checkpoint of step \(old.step); go on with --resume, choose another run.name, "
          + "or remove the folder")
    }
  }

  /// The newest whole checkpoint; nil if there is none at all. Where all are damaged nobody shall
  /// write over them.
  private func wholeCheckpoint() throws -> CheckpointFolder? {
    let all = try store.checkpoints()
    if let whole = all.last(where: { $0.folder != nil }) { return whole.folder }
    guard case .failure(let error) = all.last?.state else { return nil }
    throw FileError(
      store.path,
      "holds damaged checkpoints alone (\(error)); choose another run.name, or remove the folder")
  }

  /// Refuses a checkpoint of another run: what is learnt from must be the same.
  private func checkFits(_ folder: CheckpointFolder) throws {
    let path = "\(folder.path)/\(CheckpointPart.configuration)"
    let saved = try RunConfiguration.read(
      yaml: String(decoding: folder.contents(CheckpointPart.configuration), as: UTF8.self),
      file: path)
    // More steps may follow, on other threads or with less memory; paths are compared by what they
    // hold.
    let free = [
      "training.steps", "training.recompute", "run.threads", "data.corpus", "data.tokenizer",
      "data.start", "examples.training", "examples.evaluation", "rollout.reference",
      "rollout.rewardModel", "ppo.critic", "layout",
    ]
    let statePath = "\(folder.path)/\(CheckpointPart.state)"
    let other = try RunState(
      JSON(parsing: folder.contents(CheckpointPart.state), source: statePath), path: statePath)
    // An imported model has seen no text yet: only the model itself must be the same.
    let isImported = other.corpus.isEmpty
    // 0 is the width that follows from the others; an imported model says it.
    let isHeadAlike = configuration.model.resolvedHeadWidth == saved.model.resolvedHeadWidth
    let differences = configuration.differences(from: saved).filter { difference in
      if difference.path == "model.headWidth" && isHeadAlike { return false }
      return isImported
        ? difference.path.hasPrefix("model.") && !difference.path.hasPrefix("model.router.balance")
        : RunConfiguration.changesLearning(difference.path)
          && !free.contains { difference.path == $0 || difference.path.hasPrefix($0 + ".") }
    }
    if let first = differences.first {
      throw FileError(
        path,
        "the checkpoint was made with another configuration: "
          + differences.map(\.description).joined(separator: ", ")
          + "; accepted: \(first.path): \(first.other), or another run.name")
    }
    guard !isImported else { return }
    // The tokenizer first: other fingerprints are of its tokens.
    guard other.tokenizer == state.tokenizer else {
      throw refusal(folder, "tokenizer", other.tokenizer, state.tokenizer)
    }
    guard other.corpus != state.corpus else { return }
    // A checkpoint of an older build does not say which it is.
    let differing = state.sources.filter { !other.sources.contains($0) }
    let names = (differing.isEmpty ? state.sources : differing).map(\.name)
    throw refusal(
      folder, names.joined(separator: other.sources.isEmpty ? " or " : " and "), other.corpus,
      state.corpus)
  }

  private func refusal(
    _ folder: CheckpointFolder, _ name: String, _ saved: String, _ own: String
  ) -> FileError {
    FileError(
      folder.path,
      "the checkpoint was made with another \(name) (fingerprint \(saved)); this one's is \(own); "
        + "accepted: the same, or another run.name")
  }
}

/// A checkpoint of the right size whose bytes are not those that were written.
public struct DamagedCheckpoint: AgreedError, CustomStringConvertible {
  public let path: String
  public let failure: RanksFailed
  public var description: String {
    "\(failure); to go on from the checkpoint before, remove \(path)"
  }
}
