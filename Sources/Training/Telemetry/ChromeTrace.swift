// A timeline of all ranks as a file that Perfetto (ui.perfetto.dev) and chrome://tracing open.

import Parallel

/// Trace events in JSON ("Trace Event Format", Google 2016): one process a rank, with one lane on
/// which kernels and collectives lie in phases and phases in steps.
public enum ChromeTrace {
  /// The file's bytes. Times are in microseconds from the first event.
  public static func json(_ ranks: [RankTrace]) -> [UInt8] {
    let origin = ranks.flatMap(\.events).map(\.start).min() ?? 0
    var lines: [String] = []
    for (rank, trace) in ranks.enumerated() {
      let name = JSON.string(trace.speaker).compact
      lines.append(
        "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":\(rank),\"args\":{\"name\":\(name)}}")
      lines.append(
        "{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":\(rank),"
          + "\"args\":{\"sort_index\":\(rank)}}")
      for event in trace.events { lines += self.lines(event, rank: rank, origin: origin) }
    }
    let events = lines.joined(separator: ",\n")
    return Array("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n\(events)\n]}\n".utf8)
  }

  private static func lines(_ event: RankTrace.Event, rank: Int, origin: Int) -> [String] {
    func line(_ name: String, _ category: String, _ end: Int, _ details: String) -> String {
      "{\"ph\":\"X\",\"name\":\(JSON.string(name).compact),\"cat\":\"\(category)\",\"pid\":\(rank),"
        + "\"tid\":0,\"ts\":\(microseconds(event.start - origin)),"
        + "\"dur\":\(microseconds(end - event.start)),\"args\":{\(details)}}"
    }
    switch event.detail {
    case .span(let step):
      return [line(event.name, "phase", event.end, "\"step\":\(step)")]
    case .kernel:
      return [line(event.name, "kernel", event.end, "")]
    case .collective(let group, let call, let bytes, let site, let waited):
      let name = waited == nil ? "end of \(event.name)" : event.name
      let whole = line(
        "\(name) · \(group)", "collective", event.end,
        "\"bytes\":\(bytes),\"group\":\(JSON.string(group).compact),\"call\":\(call),"
          + "\"site\":\(JSON.string(site).compact)")
      guard let waited, waited > 0 else { return [whole] }
      return [
        whole, line("waiting for the last to come", "waiting", event.start + waited, ""),
      ]
    }
  }

  /// `12.345`
  private static func microseconds(_ nanoseconds: Int) -> String {
    let thousandths = String(nanoseconds % 1000)
    return "\(nanoseconds / 1000)."
      + String(repeating: "0", count: 3 - thousandths.count) + thousandths
  }
}
