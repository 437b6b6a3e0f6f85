// A file that only grows, record by record: what stands in it is always whole records.

import Glibc
import Kernels

/// A file open for appending. Each record goes to the system at once, by one writer.
final class AppendedFile {
  let path: String
  private let disk: Disk
  private let descriptor: Int32
  /// Bytes in the file.
  private(set) var bytes: Int

  /// Opens `path`, cut to its first `keeping` bytes; made when it is not there.
  init(_ path: String, keeping: Int = 0, disk: Disk) throws {
    self.path = path
    self.disk = disk
    bytes = keeping
    try disk.announce(.create(path))
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError(path, "cannot write the file", code: errno) }
    guard ftruncate(descriptor, keeping) == 0 else {
      throw FileError(path, "cannot cut the file to \(keeping) bytes", code: errno)
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Appends one record. When it does not fit (a full disk), none of it stays.
  func append(_ record: UnsafeRawBufferPointer) throws {
    do {
      try put(record)
      bytes += record.count
    } catch {
      // The first error is the one to tell; a failure here leaves a torn record, which readers
      // drop.
      _ = ftruncate(descriptor, bytes)
      throw error
    }
  }

  private func put(_ record: UnsafeRawBufferPointer) throws {
    try disk.announce(.write(path, bytes: record.count))
    var done = 0
    while done < record.count {
      let count = write(descriptor, record.baseAddress! + done, record.count - done)
      if count > 0 {
        done += count
      } else if count == 0 {
        throw FileError(path, "the system took 0 of \(record.count - done) bytes")
      } else if errno != EINTR {
        throw FileError(path, "cannot write at byte \(bytes + done)", code: errno)
      }
    }
  }

  /// Waits until all records are on the disk.
  func synchronize() throws {
    try disk.announce(.sync(path))
    guard fsync(descriptor) == 0 else { throw FileError(path, "cannot sync", code: errno) }
  }
}
