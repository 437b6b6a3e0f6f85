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
  /// How TensorBoard knows an event file.
  package static let namePrefix = "events.out.tfevents."

  private let file: AppendedFile
  private let checksum = CastagnoliChecksum()

  package var path: String { file.path }

  /// Starts a file in `folder`, named as TensorBoard expects it.
  ///
  /// A run that resumes takes what earlier files say of steps after `resumedStep` out of them
  /// (EventFileTrim) and starts another file; a run that starts anew takes all of it out. Each file
  /// opens with the start of a session, at which a TensorBoard that has read the later steps already
  /// forgets them.
  package init(
    folder: String, resumedStep: Int? = nil, time: Double = Date().timeIntervalSince1970,
    disk: Disk = Disk()
  ) throws {
    try disk.makeFolder(folder)
    try EventFileTrim(after: resumedStep ?? 0, disk: disk).apply(to: folder)
    file = try AppendedFile(EventFile.path(in: folder, time: time, disk: disk), disk: disk)
    var version = EventFile.event(step: 0, time: time)
    version.add(3, string: "brain.Event:2")
    try append(version)
    var session = ProtocolMessage()
    session.add(1, integer: 1)  // SessionLog.status = START
    var start = EventFile.event(step: (resumedStep ?? 0) + 1, time: time)
    start.add(7, message: session)
    try append(start)
  }

  /// Appends one event that holds all figures of a step.
  package func append(
    _ figures: [TensorBoardFigure], step: Int, time: Double = Date().timeIntervalSince1970
  ) throws {
    guard !figures.isEmpty else { return }
    var values = ProtocolMessage()
    for figure in figures { values.add(1, message: EventFile.value(figure)) }
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

  private static func value(_ figure: TensorBoardFigure) -> ProtocolMessage {
    var value = ProtocolMessage()
    switch figure {
    case .scalar(let tag, let number):
      value.add(1, string: tag)
      value.add(2, float: Float(number))
    case .bars(let tag, let heights):
      value.add(1, string: tag)
      value.add(5, message: histogram(heights))
    }
    return value
  }

  /// HistogramProto whose bucket e reaches from e − ½ to e + ½. TensorBoard takes empty buckets at
  /// both ends away and lets `min` and `max` bound what stays.
  private static func histogram(_ heights: [Int]) -> ProtocolMessage {
    let places = heights.indices.map(Double.init)
    let first = heights.firstIndex { $0 > 0 } ?? 0
    let last = heights.lastIndex { $0 > 0 } ?? heights.count - 1
    let weighted = zip(heights.map(Double.init), places)
    var histogram = ProtocolMessage()
    histogram.add(1, double: Double(first) - 0.5)
    histogram.add(2, double: Double(last) + 0.5)
    histogram.add(3, double: Double(heights.reduce(0, +)))
    histogram.add(4, double: weighted.reduce(0) { $0 + $1.0 * $1.1 })
    histogram.add(5, double: weighted.reduce(0) { $0 + $1.0 * $1.1 * $1.1 })
    histogram.add(6, packed: places.map { $0 + 0.5 })
    histogram.add(7, packed: heights.map(Double.init))
    return histogram
  }

  /// TensorBoard reads a folder's files in the order of their names, which start with the time.
  private static func path(in folder: String, time: Double, disk: Disk) -> String {
    let seconds = String(Int(time))
    let padded = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
    let host = ProcessInfo.processInfo.hostName.filter { $0 != "/" }
    let start = "\(folder)/\(namePrefix)\(padded).\(host).\(getpid())"
    var path = start
    var copy = 1
    while disk.exists(path) {
      path = "\(start).\(copy)"
      copy += 1
    }
    return path
  }
}
