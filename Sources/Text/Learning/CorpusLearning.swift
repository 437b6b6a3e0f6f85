// Learns a tokenizer from a corpus on disk, without what is held out.

extension TokenizerTraining {
  /// Takes the documents of a corpus (`CorpusSource`), without its last tenth by characters, so
  /// that nothing of what quality is measured on is known; or, with `isWhole`, all of them.
  public mutating func append(corpus path: String, isWhole: Bool = false) throws {
    let reader = DocumentReader(sources: try CorpusSource.sources(at: path))
    let characters = try CorpusSurvey(reader).characters
    var left = isWhole ? characters : TextDivision(characters: characters).learnt
    try reader.read { part in
      switch part {
      case .end: finishText()
      case .text(let bytes, let count) where count <= left:
        append(bytes.span)
        left -= count
      case .text(let bytes, _):
        let end = UTF8Check.offset(of: left, in: bytes, from: 0)
        append(bytes.span.extracting(0..<end))
        left = 0
      }
    }
  }
}
