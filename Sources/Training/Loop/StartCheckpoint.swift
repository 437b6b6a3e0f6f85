// The checkpoint whose weights a run begins with: of an earlier stage, or imported.

import Parallel
import Text
import Transformer

/// A checkpoint that gives a run its model and its first weights, and nothing else.
public struct StartCheckpoint: Sendable {
  public let folder: CheckpointFolder
  public let configuration: RunConfiguration

  /// Opens what `data.start` names; nil where it is empty.
  public init?(_ configuration: RunConfiguration) throws {
    guard !configuration.data.start.isEmpty else { return nil }
    try self.init(path: configuration.data.start)
  }

  /// Opens a checkpoint, or the newest of a run's folder.
  public init(path: String) throws {
    folder = try CheckpointFolder(newestAt: path)
    self.configuration = try RunConfiguration.read(
      yaml: String(decoding: folder.contents(CheckpointPart.configuration), as: UTF8.self),
      file: "\(folder.path)/\(CheckpointPart.configuration)")
  }

  /// Of its weights and tokenizer.
  public var fingerprint: String {
    let apart = [CheckpointPart.state, CheckpointPart.configuration]
    let files = folder.files.filter {
      !apart.contains($0.name) && !$0.name.hasPrefix(CheckpointPart.optimizer)
        && !$0.name.hasPrefix(CheckpointPart.critic)
    }
    return Digest.sha256(Array(files.map(\.sha256).sorted().joined(separator: " ").utf8))
  }

  /// Its tokenizer; nil where it has none.
  public func tokenizer() throws -> Tokenizer? {
    let bytes = try folder.contents(CheckpointPart.tokenizer)
    guard !bytes.isEmpty else { return nil }
    return try Tokenizer(json: bytes, source: "\(folder.path)/\(CheckpointPart.tokenizer)")
  }

  /// Gives the model its weights; a scalar head that the checkpoint lacks keeps its first values.
  /// Every rank calls it alike and checks a share of the files. Throws `RanksFailed`.
  public func load(into model: LanguageModel, over world: Communicator) throws {
    try world.agreeing {
      try folder.verify(CheckpointPart.model, reader: world.rank, of: world.size)
    }
    try world.agreeing {
      try model.load(
        folder.tensors(CheckpointPart.model, isVerified: true),
        fresh: [ScalarHead.parameterName])
    }
  }
}
