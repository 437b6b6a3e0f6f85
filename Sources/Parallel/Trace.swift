// What a rank did when: the last phases and collectives, for a timeline over all ranks.

import Kernels

/// The recorder of one rank; made by `Communicator.startTrace`.
public final class Trace {
  /// Events that a rank keeps: the last ones.
  public static let capacity = 20_000

  struct Event {
    var start: Int
    var end: Int
    /// Place in `names`.
    var name: Int
    /// The step of a span, the bytes sent in a collective.
    var value: Int
    /// Which collective of its group it was; 0 for a span.
    var sequence = 0
    /// Place of the group's name in `names`, and its first rank.
    var group = 0
    var first = 0
    /// Place of the call site in `names`.
    var site = 0

    static let numbers = 8
    var encoded: [Int] { [start, end, name, value, sequence, group, first, site] }

    init(start: Int, end: Int, name: Int, value: Int) {
      (self.start, self.end, self.name, self.value) = (start, end, name, value)
    }

    init(_ numbers: ArraySlice<Int>) {
      let n = Array(numbers)
      self.init(start: n[0], end: n[1], name: n[2], value: n[3])
      (sequence, group, first, site) = (n[4], n[5], n[6], n[7])
    }
  }

  /// A ring once it is full.
  private var ring: [Event] = []
  private var oldest = 0
  private(set) var names: [String] = []
  private var places: [String: Int] = [:]
  /// Of collectives that were recorded before, what does not change between calls.
  private var callers: [Caller: (name: Int, group: Int, site: Int)] = [:]

  init() { ring.reserveCapacity(Self.capacity) }

  /// The clock of all events, in nanoseconds.
  public static func now() -> Int { nanoseconds() }

  /// The step that spans are recorded with.
  var step = 0

  /// Something that this rank did from `start` until now.
  public func record(_ name: String, since start: Int) {
    add(Event(start: start, end: nanoseconds(), name: place(name), value: step))
  }

  /// A collective over, from `start` until now.
  func record(_ call: CollectiveCall, of group: Communicator, since start: Int) {
    let end = nanoseconds()
    let caller = Caller(
      group: ObjectIdentifier(group), collective: call.collective,
      file: UInt(bitPattern: call.site.file.utf8Start), line: call.site.line)
    let known =
      callers[caller]
      ?? (place(call.collective.name), place(group.name), place(call.site.description))
    callers[caller] = known
    var event = Event(start: start, end: end, name: known.name, value: call.bytes)
    (event.sequence, event.group, event.first) = (call.sequence, known.group, group.members[0])
    event.site = known.site
    add(event)
  }

  private struct Caller: Hashable {
    let group: ObjectIdentifier
    let collective: Collective
    let file: UInt
    let line: UInt32
  }

  private func add(_ event: Event) {
    if ring.count < Self.capacity {
      ring.append(event)
    } else {
      ring[oldest] = event
      oldest = (oldest + 1) % Self.capacity
    }
  }

  private func place(_ name: String) -> Int {
    if let known = places[name] { return known }
    places[name] = names.count
    names.append(name)
    return names.count - 1
  }

  /// In the order in which they ended.
  var events: [Event] { Array(ring[oldest...] + ring[..<oldest]) }
}

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
    /// `waited` nanoseconds of it passed until the last rank of the group had come.
    case collective(group: String, call: Int, bytes: Int, site: String, waited: Int)
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
  /// Begins to record what this rank does; the last `Trace.capacity` events are kept.
  public func startTrace() { watch.trace = Trace() }

  /// Where this rank records; nil unless it does.
  public var trace: Trace? { watch.trace }

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
    var latest: [Meeting: Int] = [:]
    for (lane, events) in lanes {
      for event in events where event.sequence > 0 {
        let meeting = Meeting(
          group: lane.names[event.group], first: event.first, sequence: event.sequence)
        latest[meeting] = max(latest[meeting] ?? event.start, event.start)
      }
    }
    return lanes.map { lane, events in
      let named = events.map { event in
        guard event.sequence > 0 else {
          return Event(
            name: lane.names[event.name], start: event.start, end: event.end,
            detail: .span(step: event.value))
        }
        let group = lane.names[event.group]
        let meeting = Meeting(group: group, first: event.first, sequence: event.sequence)
        return Event(
          name: lane.names[event.name], start: event.start, end: event.end,
          detail: .collective(
            group: group, call: event.sequence, bytes: event.value, site: lane.names[event.site],
            waited: min(latest[meeting]!, event.end) - event.start))
      }
      return RankTrace(
        speaker: lane.speaker,
        events: named.sorted { ($0.start, -$0.end) < ($1.start, -$1.end) })
    }
  }
}
