// Takes the steps after a checkpoint out of the event files that earlier processes wrote.

import Glibc

/// Cuts event files before their first event of a later step, or where a crash tore them; a file of
/// which only the version would be left goes away.
///
/// TensorBoard alone forgets such events for good only where new ones of the same kind follow.
package struct EventFileTrim {
  private let step: Int
  private let disk: Disk

  package init(after step: Int, disk: Disk = Disk()) {
    self.step = step
    self.disk = disk
  }

  /// All event files of `folder`; those that another program wrote are left as they are.
  package func apply(to folder: String) throws {
    for name in try Disk.names(in: folder) where name.hasPrefix(EventFile.namePrefix) {
      let path = "\(folder)/\(name)"
      let bytes = try ReadableFile.contents(path, atMost: 1 << 32)
      guard let end = end(of: bytes), end < bytes.count else { continue }
      if end <= EventFileTrim.record(at: 0, in: bytes) ?? bytes.count {
        try disk.remove(path)
      } else {
        // Opening it cuts it.
        _ = try AppendedFile(path, keeping: end, disk: disk)
      }
    }
  }

  /// Bytes to keep; nil where an event is not written as EventFile writes them.
  private func end(of bytes: [UInt8]) -> Int? {
    var place = 0
    while place < bytes.count {
      guard let record = EventFileTrim.record(at: place, in: bytes) else { return place }
      let event = bytes[place + 12..<record - 4]
      guard let eventStep = EventFileTrim.step(of: event) else { return nil }
      // The start of a session says which steps follow; without them it is as good as none.
      if eventStep > step { return place }
      place = record
    }
    return place
  }

  /// Where the record that starts at `place` ends; nil where the file ends before.
  private static func record(at place: Int, in bytes: [UInt8]) -> Int? {
    guard place + 12 <= bytes.count else { return nil }
    let length = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[place + $1]) << (8 * UInt64($1)) }
    guard length <= bytes.count - place - 12, place + 16 + Int(length) <= bytes.count
    else { return nil }
    return place + 16 + Int(length)
  }

  /// Field 1 is the time, in 9 bytes; field 2 the step.
  private static func step(of event: ArraySlice<UInt8>) -> UInt64? {
    guard event.count > 10, event[event.startIndex] == 0x09, event[event.startIndex + 9] == 0x10
    else { return nil }
    var value: UInt64 = 0
    for (index, byte) in event.dropFirst(10).prefix(10).enumerated() {
      value |= UInt64(byte & 0x7F) << (7 * UInt64(index))
      if byte < 0x80 { return value }
    }
    return nil
  }
}
