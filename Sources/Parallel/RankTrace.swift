// Every rank's recording brought together: a lane a rank, on one clock.

/// One rank's lane of a timeline, in nanoseconds of rank 0's clock.
public struct RankTrace: Sendable {
  public struct Event: Sendable, Equatable {
    public let name: String
    public let start: Int
    public let end: Int
    public let detail: Detail

    package init(name: String, start: Int, end: Int, detail: Detail) {
      self.name = name
      self.start = start
      self.end = end
      self.detail = detail
    }
  }

  public enum Detail: Sendable, Equatable {
    case span(step: Int)
    /// A loop over memory, shared among the rank's threads.
    case kernel
    /// `waited` nanoseconds of it passed until the last rank of the group had come; nil for the end of
    /// one that was begun before: how long it waits for others, and how long for bytes, is not known.
    case collective(group: String, call: Int, bytes: Int, site: String, waited: Int?)
  }

  /// `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1`
  public let speaker: String
  /// What began first comes first; of what began together, the longest.
  public let events: [Event]

  package init(speaker: String, events: [Event]) {
    self.speaker = speaker
    self.events = events
  }
}

extension Communicator {
  /// Ends recording, and gives rank 0 every rank's events; the others get none. Every rank of the
  /// world calls it alike.
  public func gatherTraces() -> [RankTrace] {
    let trace = watch.trace ?? Trace()
    watch.trace = nil
    let offset = ClockBounds.measure(over: self).offset
    let numbers = trace.events.flatMap(\.encoded)
    let lanes = gather(TraceLane(speaker: speaker, names: trace.names, offset: offset))
    let counts = gather(numbers.count * MemoryLayout<Int>.stride)
    var all = [Int](
      repeating: 0, count: rank == 0 ? counts.reduce(0, +) / MemoryLayout<Int>.stride : 0)
    numbers.withUnsafeBytes { own in
      all.withUnsafeMutableBytes { all in
        gather(
          own, into: rank == 0 ? all.baseAddress ?? noMemory : nil, counts: counts, to: 0)
      }
    }
    guard rank == 0 else { return [] }
    var rest = all[...]
    return RankTrace.lanes(
      zip(lanes, counts).map { lane, bytes in
        let count = bytes / MemoryLayout<Int>.stride
        defer { rest = rest.dropFirst(count) }
        let own = Array(rest.prefix(count))
        return (
          lane,
          stride(from: 0, to: count, by: Trace.Event.numbers).map { first in
            var event = Trace.Event(own[first..<first + Trace.Event.numbers])
            event.start -= lane.offset
            event.end -= lane.offset
            return event
          }
        )
      })
  }
}

/// What names the numbers of a rank's events.
struct TraceLane: Codable {
  let speaker: String
  let names: [String]
  /// What this rank's clock is ahead of rank 0's.
  let offset: Int
}

extension RankTrace {
  private struct Meeting: Hashable {
    let group: String
    let first: Int
    let sequence: Int
  }

  /// Events by their names; a rank waits in a collective until the last of its group comes.
  static func lanes(_ lanes: [(TraceLane, [Trace.Event])]) -> [RankTrace] {
    func meeting(_ event: Trace.Event, _ lane: TraceLane) -> Meeting {
      Meeting(group: lane.names[event.group], first: event.first, sequence: event.sequence)
    }
    var latest: [Meeting: Int] = [:]
    for (lane, events) in lanes {
      for event in events where event.kind == .collective {
        let known = latest[meeting(event, lane)] ?? event.start
        latest[meeting(event, lane)] = max(known, event.start)
      }
    }
    return lanes.map { lane, events in
      let named = events.map { event in
        let detail: Detail =
          switch event.kind {
          case .span: .span(step: event.value)
          case .kernel: .kernel
          case .collective, .begunBefore:
            .collective(
              group: lane.names[event.group], call: event.sequence, bytes: event.value,
              site: lane.names[event.site],
              waited: event.kind == .begunBefore
                ? nil : min(latest[meeting(event, lane)]!, event.end) - event.start)
          }
        return Event(
          name: lane.names[event.name], start: event.start, end: event.end, detail: detail)
      }
      return RankTrace(
        speaker: lane.speaker,
        events: named.sorted { ($0.start, -$0.end) < ($1.start, -$1.end) })
    }
  }
}
