// A file being written once, from start to end, with its SHA-256 taken from memory on the way.

import Glibc
import Kernels

/// How a file comes to its name.
public enum Landing: Sendable {
  /// Under its name from the start: for folders that are themselves renamed when complete.
  case direct
  /// Written beside as `.NAME.partial`, then renamed over what was there.
  case renamed
}

/// Writes a file from start to end. Not for files that are changed in place.
public final class WritableFile {
  public let path: String
  /// Bytes written so far.
  public private(set) var bytes = 0
  private let landing: Landing
  private let disk: Disk
  private let workPath: String
  private let sum = Digest()
  private var descriptor: Int32

  public init(_ path: String, landing: Landing, disk: Disk = Disk()) throws {
    self.path = path
    self.landing = landing
    self.disk = disk
    workPath =
      switch landing {
      case .direct: path
      case .renamed: "\(Disk.parent(of: path))/.\(Disk.name(of: path)).partial"
      }
    try disk.announce(.create(workPath))
    descriptor = open(workPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError(path, "cannot write the file", code: errno) }
  }

  /// Unfinished files leave nothing behind unless they stand in a folder of their own.
  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if landing == .renamed { try? disk.remove(workPath) }
  }

  /// Appends bytes; hashed in pieces just before the system takes each, while they are in cache.
  public func write(_ buffer: UnsafeRawBufferPointer) throws {
    require(descriptor >= 0, "\(path) is written after its end")
    let piece = 1 << 20
    var start = 0
    while start < buffer.count {
      let part = UnsafeRawBufferPointer(rebasing: buffer[start..<min(start + piece, buffer.count)])
      sum.update(part)
      try put(part)
      start += part.count
    }
    bytes += buffer.count
  }

  private func put(_ buffer: UnsafeRawBufferPointer) throws {
    try disk.announce(.write(workPath, bytes: buffer.count))
    var done = 0
    while done < buffer.count {
      let count = Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
      if count > 0 {
        done += count
      } else if count == 0 {
        throw FileError(path, "the system took 0 of \(buffer.count - done) bytes")
      } else if errno != EINTR {
        throw FileError(path, "cannot write at byte \(bytes + done)", code: errno)
      }
    }
  }

  /// Makes the file durable under its name; returns what a manifest says of it.
  @discardableResult
  public func finish() throws -> FileEntry {
    require(descriptor >= 0, "\(path) is finished twice")
    try disk.announce(.sync(workPath))
    guard fsync(descriptor) == 0 else { throw FileError(path, "cannot sync", code: errno) }
    let closing = descriptor
    descriptor = -1
    guard close(closing) == 0 else { throw FileError(path, "cannot close", code: errno) }
    if landing == .renamed {
      try disk.rename(workPath, to: path)
      try disk.syncFolder(Disk.parent(of: path))
    }
    return FileEntry(name: Disk.name(of: path), bytes: bytes, sha256: sum.finish())
  }
}
