// One writer's files of a dealt set of tensors, filled as one stream of bytes.

import Kernels

/// Writes a writer's tensors in the order of the deal, in pieces of any size; files begin and end on
/// the way.
public final class DealtFilesWriter {
  private var waiting: ArraySlice<DealtFile>
  private let folder: String
  private let disk: Disk
  private var open: SafetensorsWriter?
  private var entries: [FileEntry] = []

  init(_ files: [DealtFile], folder: String, disk: Disk) {
    waiting = files[...]
    self.folder = folder
    self.disk = disk
  }

  /// Writes the next bytes of the tensors; they are used before this returns, and not copied.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      guard let file = open, file.room > 0 else {
        require(!waiting.isEmpty, "\(rest.count) bytes after the last file in \(folder)")
        try advance()
        continue
      }
      let now = rest.prefix(file.room)
      try file.append(UnsafeRawBufferPointer(rebasing: now))
      rest = rest.dropFirst(now.count)
    }
  }

  /// Finishes the file that is full and begins the next.
  private func advance() throws {
    if let full = open { entries.append(try full.finish()) }
    open = nil
    if let file = waiting.popFirst() {
      open = try SafetensorsWriter(
        "\(folder)/\(file.name)", tensors: file.tensors, landing: .direct, disk: disk)
    }
  }

  /// The entries of all files, once all bytes were written.
  public func finish() throws -> [FileEntry] {
    repeat { try advance() } while open != nil
    return entries
  }
}
