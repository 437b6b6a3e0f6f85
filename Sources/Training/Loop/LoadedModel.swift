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
  public let configuration: RunConfiguration
  /// tokenizer.json; empty where the checkpoint has none.
  public let tokenizer: [UInt8]
  public let path: String

  /// Opens a checkpoint folder, or the newest one of a run's folder. Throws `FileError`.
  public init(
    _ path: String, threads: Int, precision: Precision? = nil, mesh: ProcessMesh = .single()
  ) throws {
    let folder = try CheckpointFolder(newestAt: path)
    self.path = folder.path
    let configurationPath = "\(folder.path)/\(CheckpointPart.configuration)"
    configuration = try RunConfiguration.read(
      yaml: String(decoding: folder.contents(CheckpointPart.configuration), as: UTF8.self),
      file: configurationPath)
    device = Device(precision: precision ?? configuration.run.precision, threads: threads)
    model = try LanguageModel(configuration.model, on: device, mesh: mesh, seed: 0)
    try model.load(folder.tensors(CheckpointPart.model))
    tokenizer = try folder.contents(CheckpointPart.tokenizer)
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
