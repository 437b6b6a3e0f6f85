// A complete checkpoint, open for reading. Each file's SHA-256 is compared before it is used.

import Kernels

/// A checkpoint whose manifest is sound and whose files are all there with the right sizes.
public struct CheckpointFolder: Sendable {
  public let path: String
  public let step: Int
  /// By name.
  public let files: [FileEntry]

  /// Throws, naming the file, when the manifest or a file is missing, damaged or of another size.
  public init(path: String) throws {
    self.path = path
    let manifestPath = "\(path)/\(Manifest.fileName)"
    let manifest = try Manifest(
      parsing: ReadableFile.contents(manifestPath, atMost: 64 << 20), path: manifestPath)
    step = manifest.step
    files = manifest.files
    for entry in files {
      let file = try ReadableFile("\(path)/\(entry.name)")
      guard file.bytes == entry.bytes else {
        throw FileError(
          file.path, "has \(file.bytes) bytes, the manifest says \(entry.bytes): it is damaged")
      }
    }
  }

  /// The checkpoint at `path`, or the newest where `path` is the folder of a run. Where the newest is
  /// damaged, throws and names the newest that is whole: who wants that one says so.
  public init(newestAt path: String) throws {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    if Disk().exists("\(path)/\(Manifest.fileName)") {
      try self.init(path: path)
      return
    }
    guard Disk.isFolder(path) else {
      throw FileError(path, "is no folder; a checkpoint's or a run's is accepted")
    }
    let store = try CheckpointStore(folder: Disk.parent(of: path), run: Disk.name(of: path))
    switch try store.checkpoints().last?.state {
    case .success(let newest): self = newest
    case .failure(let damage):
      let whole = try store.newest()
      throw FileError(
        path,
        "its newest checkpoint is damaged (\(damage)); accepted: "
          + (whole.map { "\($0.path), the newest that is whole" } ?? "a run with a whole one"))
    case nil:
      throw FileError(path, "is neither a checkpoint (no manifest.json) nor a run with one")
    }
  }

  /// Whether there is a checkpoint at `path`, or a run that has one, be it damaged.
  public static func exists(at path: String) -> Bool {
    if Disk().exists("\(path)/\(Manifest.fileName)") { return true }
    let store = try? CheckpointStore(folder: Disk.parent(of: path), run: Disk.name(of: path))
    return (try? store?.checkpoints().isEmpty) == false
  }

  /// Bytes of all files but the manifest.
  public var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

  /// Reads every file, or every one of a kind of tensors, whose place among them ≡ `reader` mod
  /// `readers`, and compares its SHA-256.
  ///
  /// Throws at the first that differs, naming it. Readers that share the work must all succeed.
  public func verify(_ kind: String? = nil, reader: Int = 0, of readers: Int = 1) throws {
    let files = files.filter { kind == nil || Self.kind(of: $0.name) == kind }
    for (index, entry) in files.enumerated() where index % readers == reader {
      try compare(Digest.sha256(file: "\(path)/\(entry.name)"), entry)
    }
  }

  /// All bytes of a small file, its SHA-256 compared.
  public func contents(_ name: String) throws -> [UInt8] {
    guard let entry = files.first(where: { $0.name == name }) else {
      throw FileError(path, "the checkpoint has no file \(name)")
    }
    let bytes = try ReadableFile.contents("\(path)/\(name)")
    try compare(Digest.sha256(bytes), entry)
    return bytes
  }

  /// Kinds of tensors here, such as `model` and `optimizer`.
  public var kinds: [String] {
    var kinds: [String] = []
    for entry in files {
      if let kind = Self.kind(of: entry.name), !kinds.contains(kind) { kinds.append(kind) }
    }
    return kinds
  }

  /// nil where the file holds no tensors.
  private static func kind(of name: String) -> String? {
    let parts = name.split(separator: "-")
    guard name.hasSuffix(".safetensors"), parts.count >= 4 else { return nil }
    return parts.dropLast(3).joined(separator: "-")
  }

  /// The tensors of a kind, once the SHA-256 of their files has been compared; `isVerified` says
  /// that `verify` has done so.
  public func tensors(_ kind: String, isVerified: Bool = false) throws -> TensorSource {
    let count = files.count { $0.name.hasPrefix(kind + "-") && $0.name.hasSuffix(".safetensors") }
    guard count > 0 else {
      throw FileError(
        path,
        "has no \(kind) tensors; it has \(kinds.isEmpty ? "none" : kinds.joined(separator: ", "))")
    }
    let names = (1...count).map { TensorDeal.fileName(kind, $0, of: count) }
    for name in names {
      guard let entry = files.first(where: { $0.name == name }) else {
        throw FileError(path, "the checkpoint has no file \(name)")
      }
      if !isVerified { try compare(Digest.sha256(file: "\(path)/\(name)"), entry) }
    }
    return try TensorSource(files: names.map { "\(path)/\($0)" }, path: path)
  }

  private func compare(_ found: String, _ entry: FileEntry) throws {
    guard found == entry.sha256 else {
      throw FileError(
        "\(path)/\(entry.name)",
        "has SHA-256 \(found), the manifest says \(entry.sha256): the file is damaged; "
          + "an older checkpoint may be whole")
    }
  }
}
