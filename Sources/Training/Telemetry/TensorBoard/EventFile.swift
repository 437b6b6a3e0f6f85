// A TensorBoard event file: TFRecords of `tensorflow.Event`, encoded here by field number.

import Foundation
import Glibc

/// One figure of one step.
package enum TensorBoardFigure: Sendable {
  case scalar(tag: String, Double)
  /// Bars side by side, of width 1, the first around 0.
  case bars(tag: String, [Int])
}

/// Appends events to one file that TensorBoard 2 opens.
package final class EventFile {
  private let file: AppendedFile
  private let checksum = CastagnoliChecksum()

  package var path: String { file.path }

  /// Starts a file in `folder`, named as TensorBoard expects it.
  ///
  /// A run that resumes starts another file, whose first event makes TensorBoard forget what earlier
  /// files say of steps after `resumedStep`.
  package init(
    folder: String, resumedStep: Int? = nil, time: Double = Date().timeIntervalSince1970,
    disk: Disk = Disk()
  ) throws {
    try disk.makeFolder(folder)
    file = try AppendedFile(
      EventFile.path(in: folder, after: resumedStep, time: time, disk: disk), disk: disk)
    var version = EventFile.event(step: 0, time: time)
    version.add(3, string: "brain.Event:2")
    try append(version)
    if let resumedStep {
      var session = ProtocolMessage()
      session.add(1, integer: 1)  // SessionLog.status = START
      var event = EventFile.event(step: resumedStep + 1, time: time)
      event.add(7, message: session)
      try append(event)
    }
  }

  /// Appends one event that holds all figures of a step.
  package func append(
    _ summaries: [TensorBoardFigure], step: Int, time: Double = Date().timeIntervalSince1970
  ) throws {
    guard !summaries.isEmpty else { return }
    var values = ProtocolMessage()
    for summary in summaries { values.add(1, message: EventFile.value(summary)) }
    var event = EventFile.event(step: step, time: time)
    event.add(5, message: values)
    try append(event)
  }

  package func synchronize() throws { try file.synchronize() }

  private func append(_ event: ProtocolMessage) throws {
    let record = EventFile.record(event.bytes, checksum)
    try record.withUnsafeBytes { try file.append($0) }
  }

  /// length, its masked checksum, data, its masked checksum; all little-endian.
  package static func record(_ data: [UInt8], _ checksum: CastagnoliChecksum) -> [UInt8] {
    let length = withUnsafeBytes(of: UInt64(data.count).littleEndian) { Array($0) }
    var record = length
    withUnsafeBytes(of: checksum.masked(length).littleEndian) { record += $0 }
    record += data
    withUnsafeBytes(of: checksum.masked(data).littleEndian) { record += $0 }
    return record
  }

  private static func event(step: Int, time: Double) -> ProtocolMessage {
    var event = ProtocolMessage()
    event.add(1, double: time)
    event.add(2, integer: Int64(step))
    return event
  }

  private static func value(_ summary: TensorBoardFigure) -> ProtocolMessage {
    var value = ProtocolMessage()
    switch summary {
    case .scalar(let tag, let number):
      value.add(1, string: tag)
      value.add(2, float: Float(number))
    case .bars(let tag, let heights):
      value.add(1, string: tag)
      value.add(5, message: histogram(heights))
    }
    return value
  }

  /// HistogramProto whose bucket e reaches from e − ½ to e + ½.
  private static func histogram(_ heights: [Int]) -> ProtocolMessage {
    let count = Double(heights.count)
    let places = heights.indices.map(Double.init)
    let weighted = zip(heights.map(Double.init), places)
    var histogram = ProtocolMessage()
    histogram.add(1, double: -0.5)
    histogram.add(2, double: count - 0.5)
    histogram.add(3, double: Double(heights.reduce(0, +)))
    histogram.add(4, double: weighted.reduce(0) { $0 + $1.0 * $1.1 })
    histogram.add(5, double: weighted.reduce(0) { $0 + $1.0 * $1.1 * $1.1 })
    histogram.add(6, packed: places.map { $0 + 0.5 })
    histogram.add(7, packed: heights.map(Double.init))
    return histogram
  }

  /// TensorBoard reads a folder's files in the order of their names, which start with the time.
  private static func path(
    in folder: String, after step: Int?, time: Double, disk: Disk
  ) -> String {
    let seconds = String(Int(time))
    let padded = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
    let host = ProcessInfo.processInfo.hostName.filter { $0 != "/" }
    let start = "\(folder)/events.out.tfevents.\(padded).\(host).\(getpid())"
    var path = start
    var copy = 1
    while disk.exists(path) {
      path = "\(start).\(copy)"
      copy += 1
    }
    return path
  }
}
