// Event files: checksums against published values, framing and fields through another reader.

import Foundation
import Testing
import Training

/// A reader of Protocol Buffers, enough for events.
private struct Fields {
  var integers: [Int: UInt64] = [:]
  var doubles: [Int: Double] = [:]
  var floats: [Int: Float] = [:]
  var blocks: [Int: [[UInt8]]] = [:]

  init(_ bytes: [UInt8]) {
    var place = 0
    func little(_ count: Int) -> UInt64 {
      defer { place += count }
      return (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * UInt64($1)) }
    }
    func variable() -> UInt64 {
      var value: UInt64 = 0
      var shift: UInt64 = 0
      while true {
        let byte = bytes[place]
        place += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
    }
    while place < bytes.count {
      let key = variable()
      let field = Int(key >> 3)
      switch key & 7 {
      case 0: integers[field] = variable()
      case 1: doubles[field] = Double(bitPattern: little(8))
      case 5: floats[field] = Float(bitPattern: UInt32(little(4)))
      default:
        let count = Int(variable())
        blocks[field, default: []].append(Array(bytes[place..<place + count]))
        place += count
      }
    }
  }

  func text(_ field: Int) -> String? {
    blocks[field]?.first.map { String(decoding: $0, as: UTF8.self) }
  }

  func packed(_ field: Int) -> [Double] {
    let bytes = blocks[field]?.first ?? []
    return stride(from: 0, to: bytes.count, by: 8).map { start in
      Double(
        bitPattern: (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
      )
    }
  }
}

@Suite struct TelemetryTensorBoardTests {
  private let checksum = CastagnoliChecksum()

  /// CRC-32C bit by bit, by its definition.
  private func slow(_ bytes: [UInt8]) -> UInt32 {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }
    return ~value
  }

  @Test(
    arguments: [
      // RFC 3720, B.4.
      ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
      ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
      ([UInt8](0..<32), 0x46DD_794E),
      ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
      (Array("123456789".utf8), 0xE306_9283),
      ([], 0),
    ] as [([UInt8], UInt32)])
  func `checksums are those of the standard`(bytes: [UInt8], expected: UInt32) {
    #expect(checksum.checksum(bytes) == expected)
    #expect(slow(bytes) == expected)
  }

  /// Splits a file into its records, checking lengths and both checksums.
  private func records(_ bytes: [UInt8]) throws -> [Fields] {
    func little(_ place: Int, _ count: Int) -> UInt64 {
      (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * UInt64($1)) }
    }
    func mask(_ value: UInt32) -> UInt64 { UInt64((value >> 15 | value << 17) &+ 0xA282_EAD8) }
    var place = 0
    var result: [Fields] = []
    while place < bytes.count {
      let count = Int(little(place, 8))
      #expect(little(place + 8, 4) == mask(slow(Array(bytes[place..<place + 8]))))
      let data = Array(bytes[place + 12..<place + 12 + count])
      #expect(little(place + 12 + count, 4) == mask(slow(data)))
      result.append(Fields(data))
      place += 16 + count
    }
    #expect(place == bytes.count)
    return result
  }

  private func files(_ folder: TelemetryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/board").sorted()
      .map { "board/\($0)" }
  }

  @Test func `a file starts with its version and holds the scalars of a step`() throws {
    let folder = try TelemetryFolder()
    let log = try TensorBoardLog(folder: "\(folder.path)/board")
    try log.append(TelemetrySample.step(9))
    let name = try #require(try files(folder).first)
    #expect(name.hasPrefix("board/events.out.tfevents."))
    let events = try records(try folder.bytes(name))
    #expect(events.count == 3)
    #expect(events[0].text(3) == "brain.Event:2")
    #expect(events[2].integers[2] == 9)
    #expect(abs(events[2].doubles[1]! - Date().timeIntervalSince1970) < 60)
    let values = Fields(events[2].blocks[5]![0]).blocks[1]!.map(Fields.init)
    let scalars = Dictionary(
      uniqueKeysWithValues: values.map { ($0.text(1)!, $0.floats[2]!) })
    let record = TelemetrySample.step(9)
    #expect(scalars["train/loss"] == Float(record.losses.perToken))
    #expect(scalars["train/learning_rate"] == Float(record.learningRate))
    #expect(scalars["speed/tokens_per_second"] == 16384)
    #expect(scalars["collectives/exchange_bytes"] == 8_400_000)
  }

  @Test func `the load of a layer is a histogram with a bar around each expert's number`() throws {
    let folder = try TelemetryFolder()
    let log = try TensorBoardLog(folder: "\(folder.path)/board")
    try log.append(TelemetrySample.router(10))
    let events = try records(try folder.bytes(try files(folder)[0]))
    let values = Fields(events[2].blocks[5]![0]).blocks[1]!.map(Fields.init)
    let load = try #require(values.first { $0.text(1) == "router/layer_1/load" })
    let histogram = Fields(load.blocks[5]![0])
    #expect(histogram.packed(7) == [2048, 512, 1024, 256, 1536, 700, 0, 2116])
    #expect(histogram.packed(6) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5])
    #expect(histogram.doubles[1] == -0.5)
    #expect(histogram.doubles[2] == 7.5)
    #expect(histogram.doubles[3] == 8192)
    // 0·2048 + 1·512 + 2·1024 + 3·256 + 4·1536 + 5·700 + 7·2116
    #expect(histogram.doubles[4] == 27784)
  }

  @Test func `a resumed run takes later steps out of earlier files and starts another`() throws {
    let folder = try TelemetryFolder()
    let first = try TensorBoardLog(folder: "\(folder.path)/board")
    for step in 38...43 { try first.append(TelemetrySample.step(step)) }
    let second = try TensorBoardLog(folder: "\(folder.path)/board", resumedStep: 40)
    #expect(first.path < second.path)
    let names = try files(folder)
    #expect(names.count == 2)
    let kept = try records(try folder.bytes(names[0]))
    #expect(kept.map { $0.integers[2] } == [0, 1, 38, 39, 40])
    let events = try records(try folder.bytes(names[1]))
    #expect(events.map { $0.integers[2] } == [0, 41])
    // The start of a session.
    #expect(Fields(events[1].blocks[7]![0]).integers[1] == 1)
  }

  @Test(arguments: [nil, 0])
  func `a run from the first step leaves nothing of an earlier one`(resumedStep: Int?) throws {
    let folder = try TelemetryFolder()
    for last in [7, 9] {
      let died = try TensorBoardLog(folder: "\(folder.path)/board", resumedStep: last)
      for step in last + 1...last + 2 { try died.append(TelemetrySample.step(step)) }
    }
    #expect(try files(folder).count == 2)
    try folder.write("notes", to: "board/notes.txt")
    let log = try TensorBoardLog(folder: "\(folder.path)/board", resumedStep: resumedStep)
    try log.append(TelemetrySample.step(1))
    let left = try files(folder)
    #expect(left.count == 2 && left.contains("board/notes.txt"))
    let events = try records(bytesOfFile(log.path))
    #expect(events.map { $0.integers[2] } == [0, 1, 1])
  }

  @Test(arguments: [1, 5, 11, 12, 13, 40, 300])
  func `a torn last event is cut off`(missing: Int) throws {
    let folder = try TelemetryFolder()
    let log = try TensorBoardLog(folder: "\(folder.path)/board")
    for step in 1...3 { try log.append(TelemetrySample.step(step)) }
    let whole = try folder.bytes(try files(folder)[0])
    try Data(whole.dropLast(missing)).write(to: URL(fileURLWithPath: log.path))
    try EventFileTrim(after: 3).apply(to: "\(folder.path)/board")
    let left = try records(try folder.bytes(try files(folder)[0]))
    #expect(left.map { $0.integers[2] } == [0, 1, 1, 2])
  }

  @Test func `what another program wrote is left as it is`() throws {
    let folder = try TelemetryFolder()
    var message = ProtocolMessage()
    message.add(2, integer: 900)
    let foreign = EventFile.record(message.bytes + [UInt8](repeating: 0, count: 30), checksum)
    let name = "events.out.tfevents.1.other"
    try Data(foreign).write(to: URL(fileURLWithPath: "\(folder.path)/\(name)"))
    try folder.write("notes", to: "notes.txt")
    try EventFileTrim(after: 3).apply(to: folder.path)
    #expect(try folder.bytes(name) == foreign)
    #expect(try folder.text("notes.txt") == "notes")
  }

  @Test func `numbers of any size keep their bytes`() {
    var message = ProtocolMessage()
    message.add(1, integer: 300)
    message.add(2, integer: -1)
    message.add(3, string: "é")
    // 300 is the example of the format's own documentation.
    let expected: [UInt8] =
      [0x08, 0xAC, 0x02, 0x10] + [UInt8](repeating: 0xFF, count: 9) + [0x01, 0x1A, 2, 0xC3, 0xA9]
    #expect(message.bytes == expected)
  }
}
