// The lexicon task: its rule on answers reckoned by hand, and files that are no lexicon.

import Foundation
import Tasks
import Testing

@Suite struct `Lexicon task` {
  static let lexicon = "good\t1.9\t0.5\t[2, 2]\nbad\t-2.5\nGRAND\t2.1\nisn't\t-0.5\n:)\t2.0\n\n"

  /// Tokens are numbers of characters; 10, a line feed, ends.
  private func task() throws -> LexiconTask {
    LexiconTask(try Lexicon(lines: Self.lexicon, source: "list"), answerLimit: 400, stop: 10) {
      String(String.UnicodeScalarView($0.compactMap { Unicode.Scalar(UInt32($0)) }))
    }
  }

  private func tokens(_ text: String) -> [Int32] { text.unicodeScalars.map { Int32($0.value) } }

  @Test(arguments: [
    ("A good, GOOD thing; grand!\n", 1.9 + 2.1, -0.5),
    ("bad bad bad\n", -2.5, 0),
    ("nothing at all\n", 0, 0),
    ("good", 1.9, -1),
    ("good\nbad bad thing thing", 1.9, 0),
    ("It isn't :) so-good\n", -0.5 + 1.9, 0),
    ("\n", 0, 0),
  ])
  func `an answer is worth what the rule says`(text: String, valence: Double, rest: Double) throws {
    let answer = tokens(text)
    let found = try task().gold(answer, to: [1])
    #expect(abs(found - (3 * tanh(valence / 4) + rest)) < 1e-12, "\(found)")
    let metrics = try task().metrics(of: answer, to: [1])
    #expect(metrics.map(\.name) == ["gold", "valence", "repeats", "words", "ended"])
    #expect(metrics[0].value == found && abs(metrics[1].value - valence) < 1e-12)
  }

  @Test func `words beyond thirty cost, and good words do not pay without end`() throws {
    let letters = Array("abcdefghijklmnopqrstuvwxyz")
    let words = (0..<40).map { String([letters[$0 % 26], letters[$0 / 26]]) }
      .joined(separator: " ")
    #expect(abs(try task().gold(tokens(words + "\n"), to: []) + 1) < 1e-12)
    #expect(try task().gold(tokens(words.prefix(89) + "\n"), to: []) == 0)
    let praise = "good grand " + String(repeating: "good ", count: 40)
    #expect(try task().gold(tokens(praise + "\n"), to: []) < -15)
    #expect(try !task().goldMayTrain)
  }

  @Test(arguments: [
    ("good\t1.9\nbad", "list, line 2"), ("good\tfine", "list, line 1"), ("good 1.9", "line 1"),
    ("good\tnan", "line 1"), ("", "list: holds no words"), (":)\t2", "holds no words"),
  ])
  func `what is no lexicon is refused with its line`(text: String, says: String) {
    let error = #expect(throws: LexiconError.self) { try Lexicon(lines: text, source: "list") }
    #expect(error?.description.contains(says) == true, "\(error!)")
    #expect(error?.description.contains("accepted") == true)
  }
}
