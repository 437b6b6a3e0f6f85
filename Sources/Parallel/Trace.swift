// What a rank did when: the last phases, collectives and kernels, for a timeline over all ranks.

import Kernels

/// The recorder of one rank; made by `Communicator.startTrace`.
public final class Trace {
  /// Phases and collectives that a rank keeps, and kernels as well: the last ones of each.
  public static let capacity = 20_000

  enum Kind: Int { case span, kernel, collective, begunBefore }

  struct Event {
    var kind: Kind
    var start: Int
    var end: Int
    /// Place in `names`.
    var name: Int
    /// The step of a span, the bytes sent in a collective.
    var value = 0
    /// Which collective of its group it was.
    var sequence = 0
    /// Place of the group's name in `names`, and its first rank.
    var group = 0
    var first = 0
    /// Place of the call site in `names`.
    var site = 0

    static let numbers = 9
    var encoded: [Int] {
      [kind.rawValue, start, end, name, value, sequence, group, first, site]
    }

    init(_ kind: Kind, start: Int, end: Int, name: Int) {
      (self.kind, self.start, self.end, self.name) = (kind, start, end, name)
    }

    init(_ numbers: ArraySlice<Int>) {
      let n = Array(numbers)
      self.init(Kind(rawValue: n[0])!, start: n[1], end: n[2], name: n[3])
      (value, sequence, group, first, site) = (n[4], n[5], n[6], n[7], n[8])
    }
  }

  /// The last events that were added.
  private struct Ring {
    private var kept: [Event] = []
    private var oldest = 0

    mutating func add(_ event: Event) {
      if kept.count < Trace.capacity {
        kept.append(event)
      } else {
        kept[oldest] = event
        oldest = (oldest + 1) % Trace.capacity
      }
    }

    /// In the order in which they ended.
    var events: [Event] { Array(kept[oldest...] + kept[..<oldest]) }
  }

  private var ring = Ring()
  /// Apart, since kernels are so many that they would push out everything else.
  private var kernels = Ring()
  private(set) var names: [String] = []
  private var places: [String: Int] = [:]
  /// Of collectives that were recorded before, what does not change between calls.
  private var callers: [Caller: (name: Int, group: Int, site: Int)] = [:]
  private var kernelNames: [KernelName: Int] = [:]

  init() {}

  /// The clock of all events, in nanoseconds.
  public static func now() -> Int { nanoseconds() }

  /// The step that spans are recorded with.
  var step = 0

  /// Something that this rank did from `start` until now.
  public func record(_ name: String, since start: Int) {
    var event = Event(.span, start: start, end: nanoseconds(), name: place(name))
    event.value = step
    ring.add(event)
  }

  /// Does a kernel's work, and records it.
  public func record(_ kernel: KernelName, _ work: () -> Void) {
    let start = nanoseconds()
    work()
    let end = nanoseconds()
    let name = kernelNames[kernel] ?? place(kernel.description)
    kernelNames[kernel] = name
    kernels.add(Event(.kernel, start: start, end: end, name: name))
  }

  /// A collective over, from `start` until now; or the end of one that was `begunBefore`.
  func record(
    _ call: CollectiveCall, of group: Communicator, since start: Int, begunBefore: Bool
  ) {
    let end = nanoseconds()
    let caller = Caller(
      group: ObjectIdentifier(group), collective: call.collective,
      file: UInt(bitPattern: call.site.file.utf8Start), line: call.site.line)
    let known =
      callers[caller]
      ?? (place(call.collective.name), place(group.name), place(call.site.description))
    callers[caller] = known
    var event = Event(
      begunBefore ? .begunBefore : .collective, start: start, end: end, name: known.name)
    (event.value, event.sequence) = (call.bytes, call.sequence)
    (event.group, event.first, event.site) = (known.group, group.members[0], known.site)
    ring.add(event)
  }

  private struct Caller: Hashable {
    let group: ObjectIdentifier
    let collective: Collective
    let file: UInt
    let line: UInt32
  }

  private func place(_ name: String) -> Int {
    if let known = places[name] { return known }
    places[name] = names.count
    names.append(name)
    return names.count - 1
  }

  var events: [Event] { ring.events + kernels.events }
}

extension Communicator {
  /// Begins to record what this rank does; the last `Trace.capacity` phases and collectives are kept,
  /// and as many kernels.
  public func startTrace() { watch.trace = Trace() }

  /// Where this rank records; nil unless it does.
  public var trace: Trace? { watch.trace }
}
