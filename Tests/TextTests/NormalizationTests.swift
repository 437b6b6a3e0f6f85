// Normalisation form C: known answers, and what holds for every text.

import Foundation
import Testing
import Text

@Suite struct NormalizationTests {
  private func normalized(_ text: String) -> String {
    String(decoding: NormalizationFormC.normalized(Array(text.utf8)), as: UTF8.self)
  }

  /// From Unicode's charts; the library `tokenizers` agrees on each.
  @Test(arguments: [
    ("e\u{301}", "é"), ("\u{e9}", "é"), ("A\u{30a}", "Å"), ("\u{212b}", "Å"), ("\u{2126}", "Ω"),
    ("s\u{323}\u{307}", "\u{1e69}"), ("s\u{307}\u{323}", "\u{1e69}"),
    ("q\u{307}\u{323}", "q\u{323}\u{307}"),
    ("\u{1e9b}\u{323}", "\u{1e9b}\u{323}"), ("\u{1100}\u{1161}\u{11a8}", "각"), ("가\u{11a8}", "각"),
    ("어\u{11a8}", "억"), ("\u{958}", "\u{915}\u{93c}"), ("\u{304b}\u{3099}", "が"),
    ("\u{f900}", "\u{8c48}"),
    ("\u{1d15e}", "\u{1d157}\u{1d165}"), ("\u{11099}\u{110ba}", "\u{1109a}"),
    ("\u{2f800}", "\u{4e3d}"),
    // What the standard library gets wrong: a dropped letter, and codes cut to 16 bits.
    ("\u{b680}\u{11a7}", "\u{b680}\u{11a7}"), ("\u{103d2}\u{308}", "\u{103d2}\u{308}"),
    ("\u{e0113}\u{300}", "\u{e0113}\u{300}"),
    // Newer than Unicode 9: the library leaves it where it stands.
    ("a\u{345}\u{eba}", "a\u{345}\u{eba}"),
    ("\u{61}\u{35a}\u{1ac1}\u{323}", "\u{61}\u{35a}\u{1ac1}\u{323}"),
  ])
  func `characters compose as the charts say`(text: String, expected: String) {
    #expect(areSameBytes(normalized(text), expected))
    #expect(areSameBytes(normalized("x" + text + "y"), "x" + expected + "y"))
  }

  @Test func `composing keeps the meaning and happens once`() {
    var draws = Draws(21)
    for _ in 0..<2000 {
      let text = HardText.make(30, using: &draws)
      let once = normalized(text)
      #expect(areSameBytes(normalized(once), once))
      #expect(
        areSameBytes(
          once.decomposedStringWithCanonicalMapping, text.decomposedStringWithCanonicalMapping))
    }
  }
}
