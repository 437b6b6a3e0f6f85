// Unicode normalisation form C over pieces of UTF-8.

import Foundation

/// Composes what can be composed; text that cannot change costs one look at each byte.
enum NormalizationFormC {
  /// Appends `bytes[range]`, normalised. Both ends must be borders.
  static func append(_ bytes: Span<UInt8>, _ range: Range<Int>, to output: inout [UInt8]) {
    var index = range.lowerBound
    while index < range.upperBound {
      // Below U+0300 nothing changes and nothing composes: lead bytes up to 0xCB.
      var end = index
      while end < range.upperBound && bytes[end] < 0xcc { end += 1 }
      if end == range.upperBound {
        for place in index..<end { output.append(bytes[place]) }
        return
      }
      // The character before may be a base; the next ASCII character ends what can interact.
      var base = end
      repeat { base -= 1 } while base > index && bytes[base] & 0xc0 == 0x80
      base = max(base, index)
      while end < range.upperBound && bytes[end] >= 0x80 { end += 1 }
      for place in index..<base { output.append(bytes[place]) }
      let piece = (base..<end).map { bytes[$0] }
      let text = String(decoding: piece, as: UTF8.self)
      output += Array(text.precomposedStringWithCanonicalMapping.utf8)
      index = end
    }
  }

  static func normalized(_ bytes: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    append(bytes.span, 0..<bytes.count, to: &output)
    return output
  }

  /// The last place at or before `end` where text can be cut without changing its normal form;
  /// `start` if there is none.
  static func lastBorder(in bytes: Span<UInt8>, from start: Int, to end: Int) -> Int {
    var border = end
    while border > start {
      border -= 1
      if bytes[border] & 0xc0 != 0x80, isBorder(before: border, bytes) { return border }
    }
    return start
  }

  /// Whether the character at `index` neither joins nor reorders with what stands before it.
  private static func isBorder(before index: Int, _ bytes: Span<UInt8>) -> Bool {
    guard bytes[index] >= 0xcc else { return true }
    let piece = (index..<min(index + 4, bytes.count)).map { bytes[$0] }
    guard let scalar = String(decoding: piece, as: UTF8.self).unicodeScalars.first else {
      return false
    }
    switch scalar.value {
    // Hangul and Kirat Rai compose of letters.
    case 0x1100...0x11ff, 0x16d40...0x16d7f, 0xfffd: return false
    default: break
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .unassigned: return false
    default: return true
    }
  }
}
