// The scanners by hand against a regular-expression engine that nobody here wrote.

import Foundation
import Testing
import Text

@Suite struct WordPatternTests {
  @Test(arguments: [WordPattern.gpt2, .qwen, .qwen(digits: 3), .whitespace])
  func `words are those that the regular expression finds`(pattern: WordPattern) throws {
    // The engine's own \s lacks two characters of the Unicode property that is meant.
    let expression = try NSRegularExpression(
      pattern: pattern.regularExpression
        .replacingOccurrences(of: #"[^\s\p"#, with: #"[^\p{White_Space}\p"#)
        .replacingOccurrences(of: #"\s"#, with: #"\p{White_Space}"#)
        .replacingOccurrences(of: #"\S"#, with: #"\P{White_Space}"#))
    let scanner = WordScanner(pattern)
    var draws = Draws(5)
    for _ in 0..<3000 {
      let text = HardText.make(Int.random(in: 1...24, using: &draws), using: &draws)
      let wide = NSString(string: text)
      let expected = expression.matches(in: text, range: NSRange(location: 0, length: wide.length))
        .map { Array(wide.substring(with: $0.range).utf8) }
      var found: [[UInt8]] = []
      let bytes = Array(text.utf8)
      var start = 0
      while start < bytes.count {
        let end = scanner.end(of: start, in: bytes.span)
        found.append(Array(bytes[start..<end]))
        start = end
      }
      #expect(found == expected, "\(text.debugDescription)")
    }
  }
}
