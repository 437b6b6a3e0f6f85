// Which characters of a corpus are learnt from and which are held out.

/// The three stretches into which every corpus is cut, by characters: the first eight tenths, the
/// ninth and the last. Each is tokenised apart.
///
/// With n characters in all documents together the cuts are before characters ⌊8n/10⌋ and ⌊9n/10⌋,
/// counted from 0. A cut may fall within a document or a word; the document's second half then goes
/// on in the next stretch without a token between. A character is a Unicode scalar of the text as
/// it is in the file, or in the `text` field, before any normalisation.
struct TextDivision {
  let characters: Int

  static let count = 3

  /// The stretch that holds this character, and the character with which it ends.
  func stretch(of character: Int) -> (index: Int, end: Int) {
    let eighth = Self.tenths(8, of: characters)
    if character < eighth { return (0, eighth) }
    return character < learnt ? (1, learnt) : (2, characters)
  }

  /// Characters before the last tenth.
  var learnt: Int { Self.tenths(9, of: characters) }

  private static func tenths(_ tenths: Int, of count: Int) -> Int {
    count * tenths / 10
  }
}

/// What is held out, and so what is learnt from.
public enum HeldOut: Sendable, Equatable {
  /// The last tenth: for the figure that is reported. The first nine are learnt from.
  case lastTenth
  /// The ninth tenth, to choose settings by; the first eight are learnt from, the last is not read.
  case ninthTenth

  var training: Range<Int> { self == .lastTenth ? 0..<2 : 0..<1 }
  var evaluation: Range<Int> { self == .lastTenth ? 2..<3 : 1..<2 }
}
