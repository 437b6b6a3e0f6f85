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

/// A file that takes its name when it is whole; dropped before that, it leaves nothing. What a killed
/// process has left of one, the next that replaces the same file takes away.
struct NewFile: ~Copyable {
  private let path: String
  private let temporaryPath: String
  private let descriptor: Int32

  /// Writing begins after `space` bytes, which are zero until they are written.
  init(replacing path: String, leaving space: Int = 0) throws {
    self.path = path
    Self.removeLeftovers(of: path)
    (temporaryPath, descriptor) = try Self.create(beside: path)
    lseek(descriptor, off_t(space), SEEK_SET)
  }

  /// A new file, locked as long as it is written.
  private static func create(beside path: String) throws -> (path: String, descriptor: Int32) {
    while true {
      let name = "\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 16))"
      let temporary = "\(path).\(name).new"
      let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else { throw TextError(path, "cannot be written: \(systemError())") }
      flock(descriptor, LOCK_EX)
      // Whoever clears leftovers may have come between the two calls.
      var status = stat()
      if fstat(descriptor, &status) != 0 || status.st_nlink > 0 { return (temporary, descriptor) }
      close(descriptor)
    }
  }

  /// Takes away new files of `path` that nobody writes any more: the lock goes with the process. Where
  /// there are no locks they stay.
  private static func removeLeftovers(of path: String) {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[...$0]) } ?? "./"
    let prefix = (slash.map { path[path.index(after: $0)...] } ?? path[...]) + "."
    guard let entries = opendir(folder) else { return }
    defer { closedir(entries) }
    while let entry = readdir(entries) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard isLeftover(name, prefix: prefix) else { continue }
      let descriptor = open(folder + name, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink(folder + name) }
      close(descriptor)
    }
  }

  /// Whether `create` gives such names: a process number, a random number, and the ending.
  private static func isLeftover(_ name: String, prefix: some StringProtocol) -> Bool {
    guard name.hasPrefix(prefix), name.hasSuffix(".new") else { return false }
    let numbers = name.dropFirst(prefix.count).dropLast(4).split(
      separator: "-", omittingEmptySubsequences: false)
    return numbers.count == 2 && Int(numbers[0]) != nil && UInt32(numbers[1], radix: 16) != nil
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
