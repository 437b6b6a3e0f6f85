// A corpus: text files as tokens, tokenised once.

import Glibc

/// What a corpus is made of, and where its tokens are kept.
///
/// Documents (a text file, a line of JSONL) stand one after another, joined with `<|endoftext|>`
/// where the tokenizer has it. Strings of added tokens in the text become those tokens.
public struct Corpus: Sendable {
  public let path: String
  /// Stands for the text and the tokenizer, wherever the files lie.
  public let fingerprint: String
  private let file: TokenFile
  private let endOfText: Int32?

  /// Opens a corpus: a UTF-8 text file, a JSONL file, or a folder of them (`CorpusSource`).
  ///
  /// Every file is read and checked; if no file with these tokens is in `cache`, it is made there,
  /// or in `otherwise` where `cache` cannot be written. Several processes may do so at once: one
  /// works, the others wait. Without `cache` it is the folder `.tokens` beside the corpus.
  /// Throws `TextError`: missing, empty, binary, no UTF-8, bad JSONL; unwritable cache; full disk.
  public init(
    _ path: String, tokenizer: Tokenizer, cache: String? = nil, otherwise: String? = nil
  ) throws {
    self.path = path
    endOfText = tokenizer.endOfText
    let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let reader = DocumentReader(sources: try CorpusSource.sources(at: trimmed))
    let survey = try CorpusSurvey(reader)
    var fingerprint = Fingerprint()
    fingerprint.update("tokens 1")
    fingerprint.update(survey.fingerprint)
    fingerprint.update(tokenizer.fingerprint)
    self.fingerprint = fingerprint.text
    let beside = cache ?? Self.parent(trimmed) + "/.tokens"
    file = try Self.open(
      "\(Self.name(trimmed))-\(self.fingerprint).tokens",
      in: [beside] + (otherwise.map { [$0] } ?? [])
    ) { target in
      let division = TextDivision(characters: survey.characters)
      var writing = try TokenFileWriting(target, tokenizer: tokenizer, division: division)
      try reader.read { try writing.append($0) }
      try writing.finish(fingerprint: fingerprint.text)
    }
    guard file.header.fingerprint == self.fingerprint else {
      throw TextError(file.path, "is damaged: its fingerprint is another; remove it")
    }
  }

  /// The part that is learnt from.
  public func training(holdingOut heldOut: HeldOut = .lastTenth) -> CorpusPart {
    part(heldOut.training, "training part")
  }

  /// The part that is held out.
  public func evaluation(_ heldOut: HeldOut = .lastTenth) -> CorpusPart {
    part(heldOut.evaluation, heldOut == .lastTenth ? "last tenth" : "ninth tenth")
  }

  /// All of it.
  public var whole: CorpusPart { part(0..<TextDivision.count, "whole text") }

  private func part(_ stretches: Range<Int>, _ name: String) -> CorpusPart {
    let counts = file.header.stretches
    let first = counts[..<stretches.lowerBound].reduce(0) { $0 + $1.tokens }
    return CorpusPart(
      name: "\(path), \(name)", file: file, first: first,
      counts: counts[stretches].reduce(StretchCounts(), +), endOfText: endOfText)
  }

  /// The token file of this name in the first of `folders` that has it; if none has, made by `make`
  /// in the first that can be written.
  private static func open(
    _ name: String, in folders: [String], make: (String) throws -> Void
  ) throws -> TokenFile {
    let paths = folders.map { "\($0)/\(name)" }
    if let path = paths.first(where: { access($0, F_OK) == 0 }) { return try TokenFile(path) }
    var refusals: [TextError] = []
    for (folder, path) in zip(folders, paths) {
      let lock: Int32
      do {
        lock = try Self.lock(path, in: folder)
      } catch let error as TextError {
        refusals.append(error)
        continue
      }
      defer { close(lock) }
      defer { unlink("\(path).lock") }
      if access(path, F_OK) != 0 { try make(path) }
      return try TokenFile(path)
    }
    throw TextError(
      refusals[0].place,
      ([refusals[0].problem] + refusals.dropFirst().map(\.description)).joined(separator: "; "))
  }

  /// Waits until no other process makes the file at `path`. The lock goes with the process, however
  /// it ends, or when it is closed. Throws where `folder` cannot be written.
  private static func lock(_ path: String, in folder: String) throws -> Int32 {
    guard makeFolder(folder) else {
      throw TextError(folder, "the folder for tokens cannot be made: \(systemError())")
    }
    let lock = Glibc.open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard lock >= 0 else {
      throw TextError(folder, "the folder for tokens cannot be written: \(systemError())")
    }
    while flock(lock, LOCK_EX) != 0 {
      guard errno == EINTR else {
        let code = errno
        close(lock)
        throw TextError("\(path).lock", "cannot be locked: \(systemError(code))")
      }
    }
    return lock
  }

  /// Makes a folder and those above it that are missing; false, with `errno`, where that fails.
  private static func makeFolder(_ path: String) -> Bool {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return true }
    let above = parent(path)
    guard errno == ENOENT, above != path, above != ".", makeFolder(above) else { return false }
    return mkdir(path, 0o755) == 0 || errno == EEXIST
  }

  private static func name(_ path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? "corpus"
    return name.split(separator: ".").first.map(String.init) ?? name
  }

  private static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}

/// What a first reading of the text finds.
struct CorpusSurvey {
  private(set) var characters = 0
  /// Of the documents' bytes and borders, not of paths.
  let fingerprint: String

  init(_ reader: DocumentReader) throws {
    var fingerprint = Fingerprint()
    var characters = 0
    var length = 0
    try reader.read { part in
      switch part {
      case .text(let bytes, let count):
        fingerprint.update(bytes.span)
        characters += count
        length += bytes.count
      case .end:
        fingerprint.update(length)
        length = 0
      }
    }
    self.characters = characters
    self.fingerprint = fingerprint.text
  }
}
