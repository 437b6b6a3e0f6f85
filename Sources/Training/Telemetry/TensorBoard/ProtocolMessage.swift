// The few wire types of Protocol Buffers that TensorBoard's events need; writing only.

/// A message being written, field by field.
///
/// Defaults (zero, empty) are written too: readers take them for what they are.
package struct ProtocolMessage: Sendable, Equatable {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func add(_ field: Int, integer value: Int64) {
    key(field, wire: 0)
    variable(UInt64(bitPattern: value))
  }

  package mutating func add(_ field: Int, double value: Double) {
    key(field, wire: 1)
    fixed(value.bitPattern)
  }

  package mutating func add(_ field: Int, float value: Float) {
    key(field, wire: 5)
    fixed(value.bitPattern)
  }

  package mutating func add(_ field: Int, string value: String) {
    key(field, wire: 2)
    variable(UInt64(value.utf8.count))
    bytes += value.utf8
  }

  package mutating func add(_ field: Int, message value: ProtocolMessage) {
    key(field, wire: 2)
    variable(UInt64(value.bytes.count))
    bytes += value.bytes
  }

  package mutating func add(_ field: Int, packed values: [Double]) {
    key(field, wire: 2)
    variable(UInt64(values.count * 8))
    for value in values { fixed(value.bitPattern) }
  }

  private mutating func key(_ field: Int, wire: UInt64) { variable(UInt64(field) << 3 | wire) }

  private mutating func variable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func fixed(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }
}
