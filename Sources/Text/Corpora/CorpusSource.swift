// Which files a corpus is made of.

import Glibc

/// One file of a corpus.
public struct CorpusSource: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// The whole file is one document.
    case text
    /// Each line is an object whose `text` is one document.
    case jsonLines
  }

  public let path: String
  public let kind: Kind

  /// The files of a corpus: the file itself, or all files of the folder and the folders in it in the
  /// order of their paths' bytes, hidden ones left out. Names that end in `.jsonl` hold JSON.
  public static func sources(at path: String) throws -> [CorpusSource] {
    guard try isFolder(path) else { return [CorpusSource(path)] }
    let sources = try files(in: path).map(CorpusSource.init)
    guard !sources.isEmpty else {
      throw TextError(path, "the folder holds no files; accepted: UTF-8 text or JSONL files")
    }
    return sources
  }

  private init(_ path: String) {
    self.path = path
    kind = path.hasSuffix(".jsonl") ? .jsonLines : .text
  }

  private static func isFolder(_ path: String) throws -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw TextError(
        path,
        "cannot be read: \(systemError()); accepted: a UTF-8 text file, a JSONL file, or a "
          + "folder of such files")
    }
    let type = status.st_mode & S_IFMT
    guard type == S_IFDIR || type == S_IFREG else {
      throw TextError(path, "is neither a file nor a folder")
    }
    return type == S_IFDIR
  }

  private static func files(in folder: String) throws -> [String] {
    guard let directory = opendir(folder) else {
      throw TextError(folder, "cannot be read: \(systemError())")
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return try names.flatMap { name in
      let path = "\(folder)/\(name)"
      return try isFolder(path) ? files(in: path) : [path]
    }
  }
}
