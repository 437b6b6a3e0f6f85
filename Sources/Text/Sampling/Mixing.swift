// Numbers that follow from keys alone: a 64-bit mixer and a fingerprint of bytes. Not for secrets.

/// A bijection of 64-bit words in which every input bit moves every output bit.
/// Source: D. Stafford's thirteenth variant of the MurmurHash3 finaliser, as in SplitMix64.
@inline(__always)
func mixed(_ word: UInt64) -> UInt64 {
  var z = word
  z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
  z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
  return z ^ (z >> 31)
}

/// A random word for these keys, the same on every machine and in every order of calls.
func randomWord(_ keys: UInt64...) -> UInt64 {
  keys.reduce(0x9e37_79b9_7f4a_7c15) { mixed(($0 ^ $1) &+ 0x9e37_79b9_7f4a_7c15) }
}

/// A random index below `count`. Bias is below count / 2⁶⁴.
func randomIndex(below count: Int, _ word: UInt64) -> Int {
  Int(word.multipliedFullWidth(by: UInt64(count)).high)
}

/// 128 bits that stand for a sequence of bytes, however it is cut into pieces.
///
/// Four lanes take eight bytes each in turn, as in xxHash. It tells texts apart; it does not
/// withstand somebody who forges one.
struct Fingerprint {
  private var lanes: SIMD4<UInt64> = [
    0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89,
  ]
  private var pending: [UInt8] = []
  private var length: UInt64 = 0

  mutating func update(_ bytes: Span<UInt8>) {
    length &+= UInt64(bytes.count)
    var next = 0
    if !pending.isEmpty {
      while next < bytes.count && pending.count < 32 {
        pending.append(bytes[next])
        next += 1
      }
      guard pending.count == 32 else { return }
      let block = pending
      absorb(block.span.bytes, from: 0)
      pending.removeAll(keepingCapacity: true)
    }
    let raw = bytes.bytes
    while next + 32 <= bytes.count {
      absorb(raw, from: next)
      next += 32
    }
    while next < bytes.count {
      pending.append(bytes[next])
      next += 1
    }
  }

  mutating func update(_ text: String) {
    let bytes = Array(text.utf8)
    update(bytes.span)
  }

  /// Adds a number: use it to part what would else run together.
  mutating func update(_ number: Int) {
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    update(bytes.span)
  }

  /// 32 hexadecimal digits.
  var text: String { words.map { Self.digits($0) }.joined() }

  private var words: [UInt64] {
    var last = self
    if !pending.isEmpty {
      let block = pending + [UInt8](repeating: 0, count: 32 - pending.count)
      last.absorb(block.span.bytes, from: 0)
    }
    let l = last.lanes
    return [
      randomWord(length, l[0], l[1], l[2], l[3]), randomWord(~length, l[3], l[2], l[1], l[0]),
    ]
  }

  @inline(__always)
  private mutating func absorb(_ bytes: borrowing RawSpan, from offset: Int) {
    let block = bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
    let sum = lanes &+ block &* SIMD4(repeating: 0xc2b2_ae3d_27d4_eb4f)
    lanes = ((sum &<< 31) | (sum &>> 33)) &* SIMD4(repeating: 0x9e37_79b1_85eb_ca87)
  }

  private static func digits(_ word: UInt64) -> String {
    let text = String(word, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}
