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

  /// Writes this writer's part of a deal; returns the entries of its files.
  ///
  /// `give` is called for every tensor in the deal's order, on every writer, so that it may gather
  /// what is spread over ranks; `isMine` says whether the bytes are wanted here. They are used
  /// before `give` is called again, and not copied.
  public func write(
    _ deal: TensorDeal, writer: Int,
    give: (_ tensor: TensorDescription, _ isMine: Bool) throws -> UnsafeRawBufferPointer?
  ) throws -> [FileEntry] {
    var entries: [FileEntry] = []
    var waiting = deal.files.filter { $0.writer == writer }[...]
    var open: (writer: SafetensorsWriter, left: Int)?
    func advance() throws {
      if let file = open, file.left == 0 {
        entries.append(try file.writer.finish())
        open = nil
      }
      if open == nil, let file = waiting.popFirst() {
        open = (
          try SafetensorsWriter(
            "\(path)/\(file.name)", tensors: file.tensors, landing: .direct, disk: disk),
          file.tensors.count
        )
      }
    }
    for (tensor, owner) in zip(deal.tensors, deal.writers) {
      let isMine = owner == writer
      let bytes = try give(tensor, isMine)
      guard isMine else { continue }
      require(bytes != nil, "writer \(writer) was given nothing for its tensor \(tensor.name)")
      try advance()
      try open!.writer.write(tensor.name, bytes!)
      open!.left -= 1
    }
    try advance()
    try advance()
    return entries
  }

  /// Writes a small file whole.
  public func write(_ name: String, _ bytes: [UInt8]) throws -> FileEntry {
    require(isPlainFileName(name) && name != Manifest.fileName, "a checkpoint file named \(name)")
    let file = try WritableFile("\(path)/\(name)", landing: .direct, disk: disk)
    try bytes.withUnsafeBytes { try file.write($0) }
    return try file.finish()
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
