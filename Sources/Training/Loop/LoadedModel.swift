// A model as a checkpoint holds it, for everything that does not train.

import Kernels
import Parallel
import Tensors
import Text
import Transformer

/// A checkpoint's model, configuration and tokenizer.
public struct LoadedModel {
  public let model: LanguageModel
  public let device: Device
  public let mesh: ProcessMesh
  public let configuration: RunConfiguration
  /// tokenizer.json; empty where the checkpoint has none.
  public let tokenizer: [UInt8]
  public let path: String

  /// Opens a checkpoint folder, or the newest one of a run's folder, split as `layout` says over the
  /// ranks of `world`, which all call it alike and check a share of its files each. Throws
  /// `RanksFailed` or `HandshakeError` on all ranks.
  public init(
    _ path: String, threads: Int, precision: Precision? = nil, world: Communicator = .alone(),
    layout text: String? = nil
  ) throws {
    let (folder, configuration, layout) = try world.agreeing {
      let folder = try CheckpointFolder(newestAt: path)
      var configuration = try RunConfiguration.read(
        yaml: String(decoding: folder.contents(CheckpointPart.configuration), as: UTF8.self),
        file: "\(folder.path)/\(CheckpointPart.configuration)")
      // A checkpoint knows no layout: without a wish all ranks share the text.
      configuration.layout = LayoutConfiguration()
      try configuration.model.validate()
      let layout = try Layout(
        text ?? "", ranks: world.size, suggesting: configuration.model.allows)
      try configuration.model.validate(layout)
      return (folder, configuration, layout)
    }
    try Handshake.check(
      [
        ("layout", layout.description), ("the checkpoint's step", String(folder.step)),
        ("the checkpoint's sums", folder.files.map(\.sha256).joined(separator: " ")),
      ], over: world)
    self.path = folder.path
    self.configuration = configuration
    let device = try world.agreeing {
      try Device(precision: precision ?? configuration.run.precision, threads: threads)
    }
    let mesh = ProcessMesh(world, layout: layout)
    let model = try LanguageModel(configuration.model, on: device, mesh: mesh, seed: 0)
    try world.agreeing {
      try folder.verify(CheckpointPart.model, reader: world.rank, of: world.size)
    }
    tokenizer = try world.agreeing {
      try model.load(folder.tensors(CheckpointPart.model, isVerified: true))
      return try folder.contents(CheckpointPart.tokenizer)
    }
    (self.device, self.model, self.mesh) = (device, model, mesh)
  }

  /// The checkpoint's tokenizer; nil where it has none. Throws where its ids are too many for the model.
  public func textTokenizer() throws -> Tokenizer? {
    guard !tokenizer.isEmpty else { return nil }
    let place = "\(path)/\(CheckpointPart.tokenizer)"
    let read = try Tokenizer(json: tokenizer, source: place)
    let vocabulary = model.configuration.vocabulary
    guard read.vocabularySize <= vocabulary else {
      throw FileError(
        place,
        "has \(read.vocabularySize) entries, the model \(vocabulary); accepted: the model's own "
          + "tokenizer, with \(vocabulary) at most")
    }
    return read
  }
}
