// A checkpoint being written: everything beside, everything synced, then one rename.

import Kernels

/// The folder `.step-….partial` of one save, shared by all its writers.
///
/// The committing writer calls `prepare`; when that has returned, every writer writes its files;
/// when all have, the committing writer gets their entries and calls `commit`. Who waits for whom
/// is the caller's to arrange. After an error nothing older has changed; the next save clears what
/// is left.
public struct CheckpointStaging: Sendable {
  public let step: Int
  /// Where the checkpoint will be.
  public let finalPath: String
  let runFolder: String
  let disk: Disk

  var path: String { "\(runFolder)/\(CheckpointName.partial(step))" }
  private var replacedPath: String { "\(runFolder)/\(CheckpointName.replaced(step))" }

  /// Makes the empty staging folder, after clearing what interrupted saves have left.
  public func prepare() throws {
    try disk.makeFolder(runFolder)
    // What a killed save renamed must last before what it replaced is cleared.
    try disk.syncFolder(runFolder)
    for name in try Disk.names(in: runFolder) where CheckpointName.isLeftover(name) {
      // A replaced checkpoint whose successor never came is still the one to load.
      if let step = CheckpointName.step(ofReplaced: name),
        !disk.exists("\(runFolder)/\(CheckpointName.final(step))")
      {
        continue
      }
      try disk.remove("\(runFolder)/\(name)")
    }
    try disk.makeFolder(path)
  }

  /// The files that `writer` has of a deal, to be filled.
  public func files(of deal: TensorDeal, writer: Int) -> DealtFilesWriter {
    DealtFilesWriter(deal.files.filter { $0.writer == writer }, folder: path, disk: disk)
  }

  /// Writes a small file whole.
  public func write(_ name: String, _ bytes: [UInt8]) throws -> FileEntry {
    require(isPlainFileName(name) && name != Manifest.fileName, "a checkpoint file named \(name)")
    let file = try WritableFile("\(path)/\(name)", landing: .direct, disk: disk)
    try bytes.withUnsafeBytes { try file.write($0) }
    return try file.finish()
  }

  /// Writes a kind of tensors as they lie in another checkpoint, whose bytes have been checked: those
  /// that fall to `writer` of so many.
  func copy(
    _ kind: String, from folder: CheckpointFolder, writer: Int, of writers: Int
  ) throws -> [FileEntry] {
    let source = try folder.tensors(kind, isVerified: true)
    let deal = TensorDeal(source.tensors, kind: kind, writers: writers)
    let files = files(of: deal, writer: writer)
    for (tensor, owner) in zip(deal.tensors, deal.writers) where owner == writer {
      var bytes = [UInt8](repeating: 0, count: tensor.bytes)
      try bytes.withUnsafeMutableBytes { try source.read(tensor.name, into: $0) }
      try bytes.withUnsafeBytes { try files.write($0) }
    }
    return try files.finish()
  }

  /// Makes the checkpoint: the manifest of all writers' files, then the rename.
  @discardableResult
  public func commit(_ entries: [FileEntry]) throws -> CheckpointFolder {
    let manifest = Manifest(step: step, files: entries)
    require(Set(entries.map(\.name)).count == entries.count, "a file of two writers in \(entries)")
    let file = try WritableFile("\(path)/\(Manifest.fileName)", landing: .direct, disk: disk)
    try manifest.bytes.withUnsafeBytes { try file.write($0) }
    try file.finish()
    try disk.syncFolder(path)
    // Reads it as a loader will: a file that another writer lost is found before the rename.
    _ = try CheckpointFolder(path: path)
    if disk.exists(finalPath) {
      try disk.remove(replacedPath)
      try disk.rename(finalPath, to: replacedPath)
    }
    try disk.rename(path, to: finalPath)
    try disk.syncFolder(runFolder)
    try disk.remove(replacedPath)
    return try CheckpointFolder(path: finalPath)
  }

  /// Gives back the room of a save that will not be finished.
  public func discard() throws { try disk.remove(path) }
}
