// The system calls that change files. All of them pass here, so that tests can stop or fail each.

import Foundation
import Glibc

/// One change to the file system, about to be made.
package enum DiskOperation: Sendable, Equatable {
  case makeFolder(String)
  case create(String)
  case write(String, bytes: Int)
  case sync(String)
  case rename(String, to: String)
  case remove(String)
}

/// The file system as something that can be written.
public struct Disk: Sendable {
  /// Sees every operation before it is made; what it throws takes the operation's place.
  package typealias Watch = @Sendable (DiskOperation) throws -> Void

  private let watch: Watch?

  public init() { watch = nil }

  package init(watch: @escaping Watch) { self.watch = watch }

  func announce(_ operation: DiskOperation) throws { try watch?(operation) }

  /// Makes a folder and those above it that are missing, each entry durable.
  public func makeFolder(_ path: String) throws {
    guard !exists(path) else { return }
    let parent = Disk.parent(of: path)
    try makeFolder(parent)
    try announce(.makeFolder(path))
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw FileError(path, "cannot make the folder", code: errno)
    }
    try syncFolder(parent)
  }

  /// Makes the entries of a folder (names, not contents) durable.
  public func syncFolder(_ path: String) throws {
    try announce(.sync(path))
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(path, "cannot open the folder", code: errno) }
    defer { close(descriptor) }
    // Some network file systems cannot sync a folder and say so with EINVAL.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw FileError(path, "cannot sync the folder", code: errno)
    }
  }

  public func rename(_ path: String, to target: String) throws {
    try announce(.rename(path, to: target))
    guard Glibc.rename(path, target) == 0 else {
      throw FileError(path, "cannot rename to \(target)", code: errno)
    }
  }

  /// Removes a file, or a folder with all in it; what is not there is no error.
  public func remove(_ path: String) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return }
      throw FileError(path, "cannot look at it", code: errno)
    }
    let isFolder = status.st_mode & S_IFMT == S_IFDIR
    if isFolder {
      for name in try Disk.names(in: path) { try remove("\(path)/\(name)") }
    }
    try announce(.remove(path))
    guard (isFolder ? rmdir(path) : unlink(path)) == 0 || errno == ENOENT else {
      throw FileError(path, "cannot remove it", code: errno)
    }
  }

  /// Replaces the file at `path` as a whole: written beside, synced, renamed.
  public func replace(_ path: String, with bytes: [UInt8]) throws {
    let file = try WritableFile(path, landing: .renamed, disk: self)
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.finish()
  }

  public func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Whether a folder, or a link to one, stands there.
  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Names in a folder, sorted, without `.` and `..`.
  public static func names(in folder: String) throws -> [String] {
    guard let stream = opendir(folder) else {
      throw FileError(folder, "cannot list the folder", code: errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The folder that holds `path`.
  package static func parent(of path: String) -> String {
    let trimmed = path.hasSuffix("/") && path.count > 1 ? String(path.dropLast()) : path
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  /// The last component of `path`.
  package static func name(of path: String) -> String {
    String(path.split(separator: "/").last ?? "")
  }
}
