// How good or bad words sound: a list of valences that others gave, such as VADER's (Hutto & Gilbert
// 2014).

/// Valences of words, −4 … 4 in VADER's file.
public struct Lexicon: Sendable {
  private let valences: [String: Double]

  /// Lines `word TAB valence …`, of which words of letters and apostrophes are taken: a text is cut
  /// into such. Throws `LexiconError` for a line of another form; `source` names the file.
  public init(lines text: String, source: String) throws {
    var valences: [String: Double] = [:]
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where !line.isEmpty {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      guard fields.count >= 2, let valence = Double(fields[1]), valence.isFinite else {
        throw LexiconError(
          place: "\(source), line \(number + 1)",
          problem: "accepted: a word, a tab, and its valence as a number")
      }
      let word = String(fields[0])
      if !word.isEmpty && word.allSatisfy(Self.isPart) { valences[word.lowercased()] = valence }
    }
    guard !valences.isEmpty else {
      throw LexiconError(place: source, problem: "holds no words; accepted: a word on a line")
    }
    self.valences = valences
  }

  public var count: Int { valences.count }

  /// 0 for a word that is not listed.
  public func valence(of word: String) -> Double { valences[word] ?? 0 }

  /// The words of a text, in small letters.
  static func words(of text: String) -> [String] {
    text.lowercased().split { !isPart($0) }.map(String.init)
  }

  private static func isPart(_ character: Character) -> Bool {
    character.isLetter || character == "'"
  }
}

/// A file that is no lexicon.
public struct LexiconError: Error, CustomStringConvertible {
  public let place: String
  public let problem: String
  public var description: String { "\(place): \(problem)" }
}
