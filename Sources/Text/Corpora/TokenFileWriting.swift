// Turns a corpus into a token file, in pieces.

/// Encodes documents stretch by stretch and writes the tokens as they come.
struct TokenFileWriting: ~Copyable {
  private let division: TextDivision
  private let endOfText: Int32?
  private let width: Int
  private var stream: TokenStream
  private let file: NewFile
  private var tokens: [Int32] = []
  private var position = 0
  private var stretch = 0
  private var counts = [StretchCounts](repeating: StretchCounts(), count: TextDivision.count)
  /// Whether a document ended and none began since.
  private var isBetween = false

  /// Tokens that are written at once.
  private static let batch = 1 << 18

  init(_ path: String, tokenizer: Tokenizer, division: TextDivision) throws {
    self.division = division
    endOfText = tokenizer.endOfText
    width = TokenFileHeader.width(vocabularySize: tokenizer.vocabularySize)
    stream = tokenizer.stream()
    // The header follows when everything is counted.
    file = try NewFile(replacing: path, leaving: TokenFileHeader.size)
  }

  mutating func append(_ part: DocumentPart) throws {
    switch part {
    case .end:
      joinDocuments()
      stream.finish(to: &tokens)
      isBetween = true
    case .text(let bytes, let characters):
      joinDocuments()
      try append(bytes, characters: characters)
    }
    if tokens.count >= Self.batch { try flush() }
  }

  /// Writes the header and gives the file its name.
  consuming func finish(fingerprint: String) throws {
    try flush()
    let header = TokenFileHeader(width: width, fingerprint: fingerprint, stretches: counts)
    try file.write(header.bytes.span.bytes, at: 0)
    try file.finish()
  }

  /// Where another document follows, the one before ends with a token, in its own stretch.
  private mutating func joinDocuments() {
    guard isBetween else { return }
    isBetween = false
    if let endOfText { tokens.append(endOfText) }
  }

  private mutating func append(_ bytes: [UInt8], characters: Int) throws {
    var start = 0
    var left = characters
    while left > 0 {
      let (index, end) = division.stretch(of: position)
      if index != stretch {
        stream.finish(to: &tokens)
        try flush()
        stretch = index
      }
      let taken = min(left, end - position)
      let stop = taken == left ? bytes.count : UTF8Check.offset(of: taken, in: bytes, from: start)
      stream.append(bytes.span.extracting(start..<stop), to: &tokens)
      counts[stretch].characters += taken
      counts[stretch].bytes += stop - start
      position += taken
      left -= taken
      start = stop
    }
  }

  /// Writes the tokens of the current stretch.
  private mutating func flush() throws {
    counts[stretch].tokens += tokens.count
    if width == 2 {
      let narrow = tokens.map { UInt16($0) }
      try file.write(narrow.span.bytes)
    } else {
      try file.write(tokens.span.bytes)
    }
    tokens.removeAll(keepingCapacity: true)
  }
}
