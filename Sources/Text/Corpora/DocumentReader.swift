// Reads the documents of a corpus in order, in pieces, so that no file need fit into memory.

/// What a reader meets.
enum DocumentPart {
  /// The next characters of the current document: at least one, all whole.
  case text(bytes: [UInt8], characters: Int)
  /// The current document is over.
  case end
}

/// Gives the documents of files, checked: UTF-8 without NUL, and no file without text.
struct DocumentReader {
  let sources: [CorpusSource]

  /// Bytes that are read at once.
  private static let pieceSize = 1 << 20

  func read(_ body: (DocumentPart) throws -> Void) throws {
    for source in sources {
      let isEmpty =
        switch source.kind {
        case .text: try readText(source.path, body)
        case .jsonLines: try readLines(source.path, body)
        }
      guard !isEmpty else {
        throw TextError(source.path, "holds no text; accepted: UTF-8 text of any length but 0")
      }
    }
  }

  private func readText(
    _ path: String, _ body: (DocumentPart) throws -> Void
  ) throws -> Bool {
    let file = try InputFile(path)
    var buffer: [UInt8] = []
    var offset = 0
    while try file.read(upTo: Self.pieceSize, into: &buffer) {
      let check = UTF8Check(buffer.span)
      if let problem = check.problem {
        throw TextError("\(path), byte \(offset + check.wholeBytes)", Self.refusal(problem))
      }
      let rest = Array(buffer[check.wholeBytes...])
      buffer.removeLast(rest.count)
      offset += buffer.count
      if !buffer.isEmpty { try body(.text(bytes: buffer, characters: check.characters)) }
      buffer = rest
    }
    guard buffer.isEmpty else {
      throw TextError(
        "\(path), byte \(offset)", Self.refusal("the file ends within a UTF-8 character"))
    }
    try body(.end)
    return offset == 0
  }

  private func readLines(
    _ path: String, _ body: (DocumentPart) throws -> Void
  ) throws -> Bool {
    var lines = try LineReader(path)
    var isEmpty = true
    while let line = try lines.next() {
      let place = "\(path), line \(lines.number)"
      let check = UTF8Check(line.span)
      guard check.problem == nil, check.wholeBytes == line.count else {
        throw TextError(
          "\(path), byte \(lines.offset + check.wholeBytes)",
          Self.refusal(check.problem ?? "the line ends within a UTF-8 character"))
      }
      let value = try JSONValue(parsing: line, source: place)
      guard value.asObject != nil else {
        throw TextError(place, "is \(value.kind); accepted: an object with a string \"text\"")
      }
      guard let text = value["text"]?.asString else {
        throw TextError(
          "\(place), field text", "is \(value["text"]?.kind ?? "missing"); accepted: a string")
      }
      let bytes = Array(text.utf8)
      let textCheck = UTF8Check(bytes.span)
      guard textCheck.problem == nil else {
        throw TextError("\(place), field text", Self.refusal("a NUL character: this is no text"))
      }
      if !bytes.isEmpty {
        isEmpty = false
        try body(.text(bytes: bytes, characters: textCheck.characters))
      }
      try body(.end)
    }
    return isEmpty
  }

  private static func refusal(_ problem: String) -> String {
    "\(problem); accepted: UTF-8 text without NUL"
  }
}

/// Lines of a file, one after another; each must fit into memory.
struct LineReader: ~Copyable {
  private let file: InputFile
  private var buffer: [UInt8] = []
  private var start = 0
  /// Bytes of the buffer that hold no line's end.
  private var searched = 0
  private var isAtEnd = false
  /// Of the line that was read last, from 1.
  private(set) var number = 0
  /// The byte in the file at which that line starts.
  private(set) var offset = 0
  private var nextOffset = 0

  init(_ path: String) throws { file = try InputFile(path) }

  /// The next line without its end; nil after the last. The file's last line may lack its end.
  mutating func next() throws -> [UInt8]? {
    while true {
      while searched < buffer.count && buffer[searched] != UInt8(ascii: "\n") { searched += 1 }
      if searched < buffer.count || (isAtEnd && start < buffer.count) {
        let line = Array(buffer[start..<searched])
        let end = min(searched + 1, buffer.count)
        offset = nextOffset
        nextOffset += end - start
        number += 1
        start = end
        searched = end
        return line
      }
      if isAtEnd { return nil }
      buffer.removeFirst(start)
      searched -= start
      start = 0
      isAtEnd = try !file.read(upTo: 1 << 20, into: &buffer)
    }
  }
}
