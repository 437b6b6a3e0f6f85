// Unicode normalisation form C over pieces of UTF-8.

import Foundation

/// Composes what can be composed; text that cannot change costs one look at each character.
///
/// As in the `tokenizers` library, whose table is of Unicode 9, characters that are newer stay as
/// they are: a text's tokens must not change with the version of a table.
package enum NormalizationFormC {
  package static func normalized(_ bytes: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    append(bytes.span, 0..<bytes.count, to: &output)
    return output
  }

  /// Appends `bytes[range]`, normalised. Both ends must be borders.
  static func append(_ bytes: Span<UInt8>, _ range: Range<Int>, to output: inout [UInt8]) {
    var index = range.lowerBound
    var copied = index
    // The start of the last character, if marks can change it.
    var base: Int?
    while index < range.upperBound {
      // Below U+0300 nothing changes by itself: lead bytes up to 0xCB.
      if bytes[index] < 0xcc {
        if bytes[index] & 0xc0 != 0x80 { base = index }
        index += 1
        continue
      }
      let (code, next) = scalar(at: index, bytes)
      let kind = NormalizationTable.shared[code]
      if kind != .active {
        base = kind == .inert ? index : nil
        index = next
        continue
      }
      let start = max(base ?? index, copied)
      var end = next
      while end < range.upperBound {
        let (code, next) = scalar(at: end, bytes)
        guard NormalizationTable.shared[code] == .active else { break }
        end = next
      }
      output.append(copying: bytes.extracting(copied..<start))
      output += composed(bytes.extracting(start..<end))
      (index, copied, base) = (end, end, nil)
    }
    output.append(copying: bytes.extracting(copied..<range.upperBound))
  }

  /// The last place at or before `end` where text can be cut without changing its normal form;
  /// `start` if there is none.
  static func lastBorder(in bytes: Span<UInt8>, from start: Int, to end: Int) -> Int {
    var border = end
    while border > start {
      border -= 1
      if bytes[border] & 0xc0 == 0x80 { continue }
      if bytes[border] < 0xcc { return border }
      let (code, next) = scalar(at: border, bytes)
      if next <= bytes.count && NormalizationTable.shared[code] != .active { return border }
    }
    return start
  }

  private static func composed(_ bytes: Span<UInt8>) -> [UInt8] {
    var piece: [UInt8] = []
    piece.append(copying: bytes)
    let text = String(decoding: piece, as: UTF8.self)
    // Foundation leaves Hangul LV + T as it is unless the text is decomposed first.
    return Array(
      text.decomposedStringWithCanonicalMapping.precomposedStringWithCanonicalMapping.utf8)
  }

  /// The character at `index`, and where the next one starts: beyond the end if it is cut short.
  @inline(__always)
  private static func scalar(
    at index: Int, _ bytes: Span<UInt8>
  ) -> (code: UInt32, next: Int) {
    let first = UInt32(bytes[index])
    let length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    guard length > 1 else { return (first, index + 1) }
    guard index + length <= bytes.count else { return (0xfffd, index + length) }
    var code = first & (0x7f >> UInt32(length))
    for offset in 1..<length { code = code << 6 | UInt32(bytes[index + offset] & 0x3f) }
    return (code, index + length)
  }
}

/// Which characters normalisation form C can touch.
final class NormalizationTable: Sendable {
  enum Kind: UInt8 {
    /// Stays as it is and joins nothing before it; marks after it may change it.
    case inert
    /// Stays as it is, whatever stands beside it.
    case alone
    /// May change, move, or join what stands before it.
    case active
  }

  static let shared = NormalizationTable()

  private let table: [Kind]

  private init() { table = (0..<0x1_0000).map { Self.computed($0) } }

  @inline(__always)
  subscript(code: UInt32) -> Kind {
    code < 0x1_0000 ? table[Int(code)] : Self.computed(code)
  }

  /// Blocks without characters that normalise to others are known to be inert; the rest is left to
  /// the standard library, which is slow. It composes wrongly what it should not be shown: it drops
  /// U+11A7 after a Hangul syllable, and takes U+103D2 before a mark for U+03D2, as all
  /// characters beyond the first plane.
  private static func computed(_ code: UInt32) -> Kind {
    guard code >= 0x300 else { return .inert }
    guard let scalar = Unicode.Scalar(code) else { return .alone }
    guard let age = scalar.properties.age, age.major <= 9 else { return .alone }
    let movesOrder = scalar.properties.canonicalCombiningClass != .notReordered
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark:
      if code < 0x1_0000 || movesOrder { return .active }
    default: break
    }
    switch code {
    // Greek, Indic and Tibetan scripts, extended Greek.
    case 0x370...0x3ff, 0x900...0xdff, 0xf00...0xfff, 0x1f00...0x1fff: return .active
    // Hangul letters that make syllables; the others do not.
    case 0x1100...0x1112, 0x1161...0x1175, 0x11a8...0x11c2: return .active
    case 0x1113...0x11ff: return .alone
    // Spaces, units and brackets that equal others; compatibility ideographs; Hebrew with points.
    case 0x2000...0x2001, 0x2126...0x212b, 0x2329...0x232a, 0x2adc, 0xf900...0xfaff,
      0xfb1d...0xfb4f:
      return .active
    // Kaithi, Chakma, Grantha, Tirhuta, Siddham; musical symbols; compatibility ideographs.
    case 0x1_1080...0x1_10cf, 0x1_1100...0x1_114f, 0x1_1300...0x1_137f, 0x1_1480...0x1_14df,
      0x1_1580...0x1_15ff, 0x1_d15e...0x1_d1c0, 0x2_f800...0x2_fa1f:
      return .active
    case 0x1_0000...: return .alone
    default: return .inert
    }
  }
}
