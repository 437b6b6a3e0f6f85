// The file that holds a corpus as tokens: its header, and its tokens as mapped memory.
//
// Little-endian: "APUSTOK1", then words of 64 bits: bytes a token (2 or 4), two words of the
// fingerprint, and for each stretch its tokens, characters and bytes of text. From byte 256 tokens.

import Glibc

/// What is counted in a stretch of a corpus.
struct StretchCounts: Equatable, Sendable {
  var tokens = 0
  var characters = 0
  var bytes = 0

  static func + (a: StretchCounts, b: StretchCounts) -> StretchCounts {
    StretchCounts(
      tokens: a.tokens + b.tokens, characters: a.characters + b.characters, bytes: a.bytes + b.bytes
    )
  }
}

struct TokenFileHeader: Equatable, Sendable {
  static let size = 256
  private static let magic = Array("APUSTOK1".utf8)

  var width: Int
  var fingerprint: String
  var stretches: [StretchCounts]

  var tokens: Int { stretches.reduce(0) { $0 + $1.tokens } }
  var fileSize: Int { Self.size + tokens * width }

  /// The narrowest width for ids below `vocabularySize`.
  static func width(vocabularySize: Int) -> Int { vocabularySize <= 1 << 16 ? 2 : 4 }

  var bytes: [UInt8] {
    let words = [width] + stretches.flatMap { [$0.tokens, $0.characters, $0.bytes] }
    var bytes = Self.magic + Array(fingerprint.utf8)
    for word in words { bytes += (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    return bytes + [UInt8](repeating: 0, count: Self.size - bytes.count)
  }

  /// Nil if these bytes are no such header.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.size, bytes.starts(with: Self.magic) else { return nil }
    fingerprint = String(decoding: bytes[8..<40], as: UTF8.self)
    let words = (0..<1 + 3 * TextDivision.count).map { word in
      (0..<8).reduce(0) { $0 | Int(bytes[40 + word * 8 + $1]) << ($1 * 8) }
    }
    guard words[0] == 2 || words[0] == 4, words.allSatisfy({ (0..<1 << 56).contains($0) }) else {
      return nil
    }
    width = words[0]
    stretches = (0..<TextDivision.count).map {
      StretchCounts(
        tokens: words[1 + $0 * 3], characters: words[2 + $0 * 3], bytes: words[3 + $0 * 3])
    }
  }

  init(width: Int, fingerprint: String, stretches: [StretchCounts]) {
    check(fingerprint.utf8.count == 32, "fingerprint \(fingerprint)")
    self.width = width
    self.fingerprint = fingerprint
    self.stretches = stretches
  }
}

/// A token file as mapped memory: the system reads what is touched and drops what is not needed.
///
/// `@unchecked Sendable`: the memory is only read, and unmapped when nobody holds this any more.
final class TokenFile: @unchecked Sendable {
  let path: String
  let header: TokenFileHeader
  private let memory: UnsafeRawBufferPointer

  init(_ path: String) throws {
    self.path = path
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TextError(path, "cannot be read: \(systemError())") }
    defer { close(descriptor) }
    var status = stat()
    fstat(descriptor, &status)
    let size = Int(status.st_size)
    var start = [UInt8](repeating: 0, count: TokenFileHeader.size)
    let count = pread(descriptor, &start, start.count, 0)
    guard count == start.count, let header = TokenFileHeader(start), header.fileSize == size else {
      throw TextError(
        path, "is damaged (\(size) bytes do not fit its header); remove it, and it is made anew")
    }
    self.header = header
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED
    else { throw TextError(path, "cannot be mapped into memory: \(systemError())") }
    memory = UnsafeRawBufferPointer(start: address, count: size)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: memory.baseAddress!), memory.count) }

  func tokens(_ range: Range<Int>) -> [Int32] {
    check(
      range.lowerBound >= 0 && range.upperBound <= header.tokens,
      "tokens \(range) of \(header.tokens) in \(path)")
    let start = TokenFileHeader.size
    if header.width == 2 {
      return range.map { Int32(memory.load(fromByteOffset: start + $0 * 2, as: UInt16.self)) }
    }
    return range.map { memory.load(fromByteOffset: start + $0 * 4, as: Int32.self) }
  }
}
