// What is thrown when a file cannot be read, written or believed.

import Glibc

/// A file, and what is wrong with it. The description is one sentence for the user.
public struct FileError: Error, Equatable, CustomStringConvertible {
  public let path: String
  public let problem: String
  /// The system's error number where a system call failed.
  public let code: Int32?

  public init(_ path: String, _ problem: String) {
    self.path = path
    self.problem = problem
    code = nil
  }

  /// A system call on `path` that failed: `action` reads like "cannot open".
  init(_ path: String, _ action: String, code: Int32) {
    self.path = path
    problem = "\(action): \(String(cString: strerror(code))) (errno \(code))"
    self.code = code
  }

  public var description: String { "\(path): \(problem)" }
}
