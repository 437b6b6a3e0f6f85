// Whether bytes are text: UTF-8 without NUL. Counts characters on the way.

/// What a check of some bytes found.
struct UTF8Check {
  /// Unicode scalars.
  private(set) var characters = 0
  /// Bytes that are whole characters; what follows is cut short or wrong.
  private(set) var wholeBytes = 0
  /// What is wrong at `wholeBytes`; nil where the bytes only end within a character.
  private(set) var problem: String?

  init(_ bytes: Span<UInt8>) {
    let raw = bytes.bytes
    var index = 0
    while index < bytes.count {
      if index + 8 <= bytes.count {
        // Eight ASCII characters at once: none above 0x7F, and none 0.
        let word = raw.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
        let high: UInt64 = 0x8080_8080_8080_8080
        if (word | (word &- 0x0101_0101_0101_0101)) & high == 0 {
          index += 8
          characters += 8
          continue
        }
      }
      let length = Self.characterLength(bytes, index)
      guard length > 0 else {
        if length < 0 {
          problem =
            bytes[index] == 0
            ? "a NUL byte: this is no text" : "no valid UTF-8 (byte 0x\(Self.hex(bytes[index])))"
        }
        break
      }
      index += length
      characters += 1
    }
    wholeBytes = index
  }

  /// Where the character stands that is `count` characters after the one at `start`.
  static func offset(of count: Int, in bytes: [UInt8], from start: Int) -> Int {
    var index = start
    var left = count
    while index < bytes.count {
      if bytes[index] & 0xc0 != 0x80 {
        if left == 0 { return index }
        left -= 1
      }
      index += 1
    }
    return index
  }

  /// Bytes of the character at `index`; 0 if more bytes may make it whole, −1 if it is wrong.
  private static func characterLength(_ bytes: Span<UInt8>, _ index: Int) -> Int {
    let first = bytes[index]
    if first < 0x80 { return first == 0 ? -1 : 1 }
    // The second byte's range keeps out long forms, surrogates and codes above U+10FFFF.
    let (length, second): (Int, ClosedRange<UInt8>)
    switch first {
    case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
    case 0xe0: (length, second) = (3, 0xa0...0xbf)
    case 0xed: (length, second) = (3, 0x80...0x9f)
    case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
    case 0xf0: (length, second) = (4, 0x90...0xbf)
    case 0xf4: (length, second) = (4, 0x80...0x8f)
    case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
    default: return -1
    }
    for offset in 1..<length {
      guard index + offset < bytes.count else { return 0 }
      let byte = bytes[index + offset]
      guard (offset == 1 ? second : 0x80...0xbf).contains(byte) else { return -1 }
    }
    return length
  }

  private static func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
  }
}
