// A folder with config.json and safetensors, as transformers has it: read into a model, written from one.

import Kernels
import Parallel
import Tensors
import Transformer

/// Reads and writes the weights of model folders.
public struct ModelFolder {
  public let path: String
  public let configuration: FamilyConfiguration
  public let naming: TensorNaming
  private let source: TensorSource

  /// Opens a folder. Throws `FileError` for anything that is missing or cannot be meant.
  public init(_ path: String) throws {
    self.path = path
    configuration = try FamilyConfiguration(file: "\(path)/config.json")
    source = try TensorSource(folder: path)
    naming = TensorNaming(configuration.family, seenIn: source.names)
  }

  /// Fills what this rank holds of the model's parameters. A tensor missing, left over or of another shape is an error that
  /// names it.
  public func load(into model: LanguageModel) throws {
    let pieces = naming.pieces(of: model.parameters)
    let wanted = Set(pieces.map(\.name))
    let missing = pieces.map(\.name).filter { source.description(of: $0) == nil }
    let extra = source.names.filter { !wanted.contains($0) }
    if !missing.isEmpty || !extra.isEmpty {
      func list(_ names: [String], _ what: String) -> String? {
        names.isEmpty
          ? nil
          : "\(names.count) \(what): " + names.prefix(4).joined(separator: ", ")
            + (names.count > 4 ? ", …" : "")
      }
      throw FileError(
        path,
        "tensors do not fit config.json: "
          + [list(missing, "missing"), list(extra, "left over")].compactMap { $0 }
          .joined(separator: "; "))
    }
    for piece in pieces {
      let precision = piece.parameter.value.precision
      let whole = UnsafeMutableRawBufferPointer.allocate(
        byteCount: piece.count * precision.bytes, alignment: 64)
      defer { whole.deallocate() }
      try source.read(piece.name, shape: piece.shape, into: whole, as: precision)
      piece.parameter.assign(UnsafeRawBufferPointer(whole), first: piece.first)
    }
  }

  /// Writes the model as config.json and model.safetensors, in the nearest family's hub layout.
  public static func write(
    _ model: LanguageModel, to path: String, maximumPositions: Int
  ) throws -> ModelFamily {
    let configuration = try FamilyConfiguration(expressing: model.configuration)
    let pieces = TensorNaming(configuration.family).pieces(of: model.parameters)
    let disk = Disk()
    try disk.makeFolder(path)
    let type = ElementType(model.device.precision)
    let writer = try SafetensorsWriter(
      "\(path)/model.safetensors",
      tensors: pieces.map { TensorDescription($0.name, type, $0.shape) },
      metadata: [("format", "pt")])
    for piece in pieces {
      try writer.write(piece.name, UnsafeRawBufferPointer(piece.memory(of: piece.parameter.value)))
    }
    try writer.finish()
    let json = configuration.json(
      maximumPositions: maximumPositions, precision: model.device.precision)
    try disk.replace("\(path)/config.json", with: Array(json.pretty.utf8))
    return configuration.family
  }
}

extension TensorPiece {
  /// The piece's memory in the parameter's value or gradient.
  func memory(of tensor: Tensor) -> UnsafeMutableRawBufferPointer {
    let bytes = tensor.precision.bytes
    return UnsafeMutableRawBufferPointer(start: tensor.base + first * bytes, count: count * bytes)
  }
}
