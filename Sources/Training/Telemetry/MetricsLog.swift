// metrics.jsonl: the record of a run, one JSON object a line, of which all other views are made.

/// Writes `metrics.jsonl`.
///
/// Each line starts with `kind` and `step`; MetricsLine says how numbers are written. A line
/// reaches the system whole before `append` returns, and the disk with `synchronize()`. Lines of
/// later steps never stand before lines of earlier ones.
public final class MetricsLog {
  /// What a resumed run found.
  public struct Resumption: Sendable, Equatable {
    /// Lines that were taken off: of later steps, or torn by a crash.
    public var droppedLines: Int
    /// Step of the last line that was kept; nil where none was. Less than the resumed step means
    /// that lines are missing.
    public var lastStep: Int?
    /// Whether the lines of the resumed step say what was measured on examples that are not trained on.
    public var isEvaluated: Bool

    public init(droppedLines: Int, lastStep: Int?, isEvaluated: Bool = false) {
      self.droppedLines = droppedLines
      self.lastStep = lastStep
      self.isEvaluated = isEvaluated
    }
  }

  private let file: AppendedFile
  /// nil for a run that starts anew.
  public let resumption: Resumption?

  public var path: String { file.path }

  /// Starts a new file; what stood there is lost.
  public init(creating path: String, disk: Disk = Disk()) throws {
    file = try AppendedFile(path, disk: disk)
    resumption = nil
  }

  /// Goes on after `step`, the step of the checkpoint: later lines are cut off, so that in the end
  /// the file says what an uninterrupted run's says, times aside.
  public init(resuming path: String, after step: Int, disk: Disk = Disk()) throws {
    guard disk.exists(path) else {
      file = try AppendedFile(path, disk: disk)
      resumption = Resumption(droppedLines: 0, lastStep: nil)
      return
    }
    let contents = try ReadableFile.contents(path, atMost: 1 << 32)
    let tail = MetricsLog.tail(of: contents, path: path, after: step)
    file = try AppendedFile(path, keeping: tail.start, disk: disk)
    resumption = Resumption(
      droppedLines: tail.lines, lastStep: tail.lastStep,
      isEvaluated: MetricsLog.isEvaluated(contents[..<tail.start], path: path, at: step))
  }

  /// Appends one line.
  public func append(_ record: some MetricsRecord) throws {
    var text = MetricsLine.text(record)
    text += "\n"
    try text.withUTF8 { try file.append(UnsafeRawBufferPointer($0)) }
  }

  /// Makes all lines durable: before a checkpoint of the same step is, so that none is missing when
  /// a run resumes from it.
  public func synchronize() throws { try file.synchronize() }

  /// Where the lines start that do not belong to the first `step` steps, seen from the end.
  private static func tail(
    of bytes: [UInt8], path: String, after step: Int
  ) -> (start: Int, lines: Int, lastStep: Int?) {
    let newline = UInt8(ascii: "\n")
    var end = bytes.count
    var dropped = 0
    while end > 0 {
      let isWhole = bytes[end - 1] == newline
      let last = isWhole ? end - 1 : end
      let start = bytes[..<last].lastIndex(of: newline).map { $0 + 1 } ?? 0
      // A line that cannot be read after the last good one was torn by a crash.
      let line = isWhole ? try? JSON(parsing: Array(bytes[start..<last]), source: path) : nil
      if let found = line?["step"]?.asInteger, found <= step { return (end, dropped, found) }
      dropped += 1
      end = start
    }
    return (0, dropped, nil)
  }

  /// Whether a line of `step`, with which the lines end, is of examples that are not trained on.
  private static func isEvaluated(_ lines: ArraySlice<UInt8>, path: String, at step: Int) -> Bool {
    for text in lines.split(separator: UInt8(ascii: "\n")).reversed() {
      guard let line = try? JSON(parsing: Array(text), source: path),
        line["step"]?.asInteger == step
      else { return false }
      let isHeldOut = line["part"]?.asString == StageRecord.Part.heldOut.rawValue
      if isHeldOut || line["kind"]?.asString == EvaluationRecord.kind { return true }
    }
    return false
  }
}
