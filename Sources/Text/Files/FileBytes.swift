// Reading and writing whole files and pieces of them by system calls.

import Glibc

/// A regular file open for reading from front to back.
struct InputFile: ~Copyable {
  let path: String
  private let descriptor: Int32

  /// Throws for what may have no end or never begin: devices, pipes, folders.
  init(_ path: String) throws {
    self.path = path
    // Without blocking, so that a pipe of that name is refused instead of waited for.
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw TextError(path, "cannot be read: \(systemError())") }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw TextError(path, "cannot be read: not a regular file; accepted: a file")
    }
  }

  deinit { close(descriptor) }

  /// Appends up to `count` bytes to `buffer`; false at the end of the file.
  func read(upTo count: Int, into buffer: inout [UInt8]) throws -> Bool {
    let start = buffer.count
    var got = 0
    buffer.append(contentsOf: repeatElement(0, count: count))
    repeat {
      got = buffer.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress! + start, count)
      }
    } while got < 0 && errno == EINTR
    let failure = errno
    buffer.removeLast(count - max(got, 0))
    guard got >= 0 else { throw TextError(path, "cannot be read: \(systemError(failure))") }
    return got > 0
  }
}

package enum FileBytes {
  /// A whole file.
  package static func read(_ path: String) throws -> [UInt8] {
    let file = try InputFile(path)
    var bytes: [UInt8] = []
    while try file.read(upTo: 1 << 20, into: &bytes) {}
    return bytes
  }
}

/// A file that takes its name when it is whole; dropped before that, it leaves nothing.
struct NewFile: ~Copyable {
  private let path: String
  private let temporaryPath: String
  private let descriptor: Int32

  /// Writing begins after `space` bytes, which are zero until they are written.
  init(replacing path: String, leaving space: Int = 0) throws {
    self.path = path
    temporaryPath = "\(path).\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 16)).new"
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw TextError(path, "cannot be written: \(systemError())") }
    lseek(descriptor, off_t(space), SEEK_SET)
  }

  deinit {
    // After `finish` the name is gone and nothing happens.
    unlink(temporaryPath)
    close(descriptor)
  }

  /// Appends bytes, or writes them at `offset`.
  func write(_ bytes: borrowing RawSpan, at offset: Int? = nil) throws {
    var done = 0
    while done < bytes.byteCount {
      let written = bytes.withUnsafeBytes { buffer in
        let start = buffer.baseAddress! + done
        return if let offset {
          pwrite(descriptor, start, bytes.byteCount - done, off_t(offset + done))
        } else {
          Glibc.write(descriptor, start, bytes.byteCount - done)
        }
      }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw TextError(path, "cannot be written: \(systemError())") }
      done += written
    }
  }

  /// Brings everything to disk and gives the file its name.
  consuming func finish() throws {
    guard fsync(descriptor) == 0, rename(temporaryPath, path) == 0 else {
      throw TextError(path, "cannot be written: \(systemError())")
    }
  }
}

/// What the last failed system call complained about.
func systemError(_ code: Int32 = errno) -> String {
  "\(String(cString: strerror(code))) (errno \(code))"
}
