// CRC-32C, the checksum of TFRecord files (RFC 3720, appendix B.4), and their masking of it.

/// CRC with the Castagnoli polynomial, reflected: 0x82F63B78.
package struct CastagnoliChecksum: Sendable {
  /// Remainders of all bytes.
  private let table: [UInt32]

  package init() {
    table = (0..<256).map { byte in
      (0..<8).reduce(UInt32(byte)) { value, _ in
        value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1
      }
    }
  }

  package func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { value, byte in
      value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
    }
  }

  /// As TFRecord stores it: rotated and shifted, since a checksum of data that holds checksums is
  /// weak.
  package func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let sum = checksum(bytes)
    return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
  }
}
