// A regular file read at any offset by pread: a file cut short is an error, not a signal.

import Glibc
import Kernels

/// An open file. Its size is taken once, when it is opened.
public final class ReadableFile: Sendable {
  public let path: String
  public let bytes: Int
  private let descriptor: Int32

  public init(_ path: String) throws {
    self.path = path
    // Without blocking, so that a pipe of that name is refused instead of waited for.
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      bytes = 0
      throw FileError(path, "cannot open the file", code: errno)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      bytes = 0
      throw FileError(path, "cannot look at the file", code: errno)
    }
    bytes = Int(status.st_size)
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(path, "not a regular file")
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Fills `target` from byte `offset` on.
  public func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < target.count {
      let count = pread(
        descriptor, target.baseAddress! + done, target.count - done, offset + done)
      if count > 0 {
        done += count
      } else if count == 0 {
        throw FileError(path, "ends at byte \(offset + done); it had \(bytes) when opened")
      } else if errno != EINTR {
        throw FileError(path, "cannot read at byte \(offset + done)", code: errno)
      }
    }
  }

  public func read(count: Int, at offset: Int) throws -> [UInt8] {
    var failure: (any Error)?
    let result = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
      do {
        try read(
          into: UnsafeMutableRawBufferPointer(start: target.baseAddress, count: count), at: offset)
        filled = count
      } catch { failure = error }
    }
    if let failure { throw failure }
    return result
  }

  /// All bytes of a file that should be small; a larger one is refused before memory is taken.
  public static func contents(_ path: String, atMost limit: Int = 1 << 28) throws -> [UInt8] {
    let file = try ReadableFile(path)
    guard file.bytes <= limit else {
      throw FileError(path, "has \(file.bytes) bytes; at most \(limit) are accepted here")
    }
    return try file.read(count: file.bytes, at: 0)
  }

  /// SHA-256 of the contents.
  public func digest() throws -> String {
    let sum = Digest()
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { piece.deallocate() }
    var offset = 0
    while offset < bytes {
      let part = UnsafeMutableRawBufferPointer(rebasing: piece[..<min(piece.count, bytes - offset)])
      try read(into: part, at: offset)
      sum.update(UnsafeRawBufferPointer(part))
      offset += part.count
    }
    return sum.finish()
  }
}
