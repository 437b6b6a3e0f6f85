// A group of ranks and what it can do together. Small values are here, arrays in Collectives.swift.

import Foundation
import Kernels

/// A group of ranks that sum, gather and exchange; over MPI or over threads alike.
///
/// Every rank of the group meets every collective, in the same order. A group of one is a group:
/// only here does anything depend on the size. Sums are added in rank order, so their bits do not
/// depend on buckets, transport or threads.
// @unchecked: belongs to one rank and is used by one of its threads at a time.
public final class Communicator: @unchecked Sendable {
  /// What diagnostics call the group: `world`, `data`, `expert-data`.
  public let name: String
  public let rank: Int
  public let size: Int
  /// The ranks of this group as the world numbers them.
  public let members: [Int]
  /// Who this rank is in messages; the mesh adds its coordinates.
  public internal(set) var speaker: String {
    didSet { watch.heartbeat?.write(speaker: speaker) }
  }
  /// What the collectives of this group have cost so far.
  public private(set) var accounting = CollectiveAccounting()
  let transport: any Transport
  let watch: CollectiveWatch
  /// Collectives met so far, where there are others to meet.
  private var sequence = 0
  /// Collectives that were under way together so far.
  private var tags = 0
  let staging = StagingMemory()

  /// A world; checked ranks compare what they came for before each collective.
  init(_ transport: any Transport, name: String, isChecked: Bool = false) {
    self.transport = transport
    self.name = name
    rank = transport.rank
    size = transport.size
    members = Array(0..<transport.size)
    speaker = "rank \(transport.rank) of \(transport.size)"
    watch = CollectiveWatch(isChecking: isChecked)
  }

  /// The part of `whole` whose ranks are `members` in the world.
  private init(
    _ transport: any Transport, name: String, of whole: Communicator, members: [Int]
  ) {
    self.transport = transport
    self.name = name
    rank = transport.rank
    size = transport.size
    self.members = members
    speaker = whole.speaker
    watch = whole.watch
  }

  /// A world of one rank, without MPI.
  public static func alone(name: String = "world") -> Communicator {
    let group = ThreadGroup(members: [0], run: ThreadRun(ranks: 1))
    return Communicator(ThreadTransport(group: group, rank: 0), name: name)
  }

  /// Whether this rank has all that the group shares.
  public var isAlone: Bool { size == 1 }

  /// Whether the group's ranks are on several machines.
  public var spansMachines: Bool { transport.spansMachines }

  /// The part of this group whose ranks give the same `color` (≥ 0), in the same order.
  public func split(
    color: Int, name: String, file: StaticString = #fileID, line: UInt32 = #line
  ) -> Communicator {
    let site = CallSite(file: file, line: line)
    let colors = gatherEqual([color], as: .split, at: site)
    // The same call still: ranks wait for each other in its second half as well.
    watch.heartbeat?.enter(
      CollectiveCall(collective: .split, sequence: sequence, bytes: 0, site: site), group: self.name
    )
    let part = transport.split(color: color)
    watch.heartbeat?.leave()
    return Communicator(
      part, name: name, of: self,
      members: zip(members, colors).filter { $0.1 == color }.map(\.0))
  }

  /// Returns when every rank has come.
  public func barrier(file: StaticString = #fileID, line: UInt32 = #line) {
    meet(.barrier, bytes: 0, on: .nothing, at: CallSite(file: file, line: line)) {
      transport.barrier()
    }
  }

  /// The sum over ranks of each value.
  public func sum(
    _ values: [Double], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Double] {
    combine(values, as: .sum, at: CallSite(file: file, line: line)) { $0 + $1 }
  }

  /// The sum over ranks of each value.
  public func sum(
    _ values: [Int], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Int] {
    combine(values, as: .sum, at: CallSite(file: file, line: line)) { $0 + $1 }
  }

  public func sum(
    _ value: Double, file: StaticString = #fileID, line: UInt32 = #line
  ) -> Double { sum([value], file: file, line: line)[0] }
  public func sum(
    _ value: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) -> Int { sum([value], file: file, line: line)[0] }

  /// The largest over ranks of each value; not a number if one rank's is not.
  public func maximum(
    _ values: [Double], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Double] {
    combine(values, as: .maximum, at: CallSite(file: file, line: line)) {
      $0.isNaN ? $0 : ($1.isNaN ? $1 : max($0, $1))
    }
  }

  /// The largest over ranks of each value.
  public func maximum(
    _ values: [Int], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Int] {
    combine(values, as: .maximum, at: CallSite(file: file, line: line)) { max($0, $1) }
  }

  public func maximum(
    _ value: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) -> Int { maximum([value], file: file, line: line)[0] }

  /// Everyone's bytes, in rank order; lengths may differ.
  public func gather(
    _ bytes: [UInt8], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [[UInt8]] {
    let counts = gatherEqual([bytes.count], as: .values, at: CallSite(file: file, line: line))
    var whole = [UInt8](repeating: 0, count: counts.reduce(0, +))
    let offsets = counts.offsets
    whole.replaceSubrange(offsets[rank]..<offsets[rank] + bytes.count, with: bytes)
    whole.withUnsafeMutableBytes { memory in
      allGather(
        memory.baseAddress ?? noMemory, counts: counts, as: .values, file: file, line: line)
    }
    return (0..<size).map { Array(whole[offsets[$0]..<offsets[$0] + counts[$0]]) }
  }

  /// Everyone's value, in rank order. For small things: they travel as JSON.
  public func gather<Value: Codable>(
    _ value: Value, file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Value] {
    guard size > 1 else { return [value] }
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      let bytes = try [UInt8](encoder.encode([value]))
      return try gather(bytes, file: file, line: line).map {
        try decoder.decode([Value].self, from: Data($0))[0]
      }
    } catch {
      fatalError("\(Value.self) does not survive JSON: \(error)")
    }
  }

  /// One value to each rank, and what each sent here: element r goes to, and comes from, rank r.
  public func exchange(
    _ values: [Int], file: StaticString = #fileID, line: UInt32 = #line
  ) -> [Int] {
    require(values.count % size == 0, "\(values.count) values for \(size) ranks")
    let bytes = values.count / size * MemoryLayout<Int>.stride
    var received = values
    values.withUnsafeBytes { send in
      received.withUnsafeMutableBytes { receive in
        exchange(
          send.baseAddress ?? UnsafeRawPointer(noMemory),
          counts: .init(repeating: bytes, count: size),
          into: receive.baseAddress ?? noMemory, counts: .init(repeating: bytes, count: size),
          file: file, line: line)
      }
    }
    return received
  }

  /// Ends every rank after saying on standard error who failed and why; the exit status is `code`.
  ///
  /// An error that all ranks throw together (`AgreedError`) is reported by rank 0 alone.
  public func end(after error: any Error, code: Int32 = 1) -> Never {
    if error is AgreedError && rank != 0 && MPIEnvironment.isRunning {
      // Rank 0 ends this process within milliseconds, unless it is gone. A signal cuts sleep short.
      let patience = ContinuousClock.now + .seconds(2)
      while ContinuousClock.now < patience { usleep(10_000) }
    }
    transport.abort(error, speaker: speaker, code: code)
  }
}

// MARK: - What the collectives are made of

extension Communicator {
  /// The one door of every collective: seen, counted, and skipped in a group of one.
  ///
  /// `terms` are what all ranks must bring alike; they are only made where ranks compare them.
  func meet(
    _ collective: Collective, bytes: Int, on terms: @autoclosure () -> CollectiveTerms,
    at site: CallSite, _ work: () -> Void
  ) {
    let call = count(collective, bytes: bytes, at: site)
    spend(in: call) {
      if watch.isChecking { compare(Announcement(call, terms(), step: watch.step)) }
      work()
    }
  }

  /// Counts a collective that begins now.
  func count(_ collective: Collective, bytes: Int, at site: CallSite) -> CollectiveCall {
    accounting[collective].calls += 1
    if size > 1 {
      sequence += 1
      accounting[collective].bytes += bytes
    }
    return CollectiveCall(collective: collective, sequence: sequence, bytes: bytes, site: site)
  }

  /// Does what a collective takes, where everybody can see it; nothing in a group of one. Of one that
  /// was `begunBefore` it is the end.
  func spend(in call: CollectiveCall, begunBefore: Bool = false, _ work: () -> Void) {
    guard size > 1 else { return }
    let start = nanoseconds()
    watch.heartbeat?.enter(call, group: name)
    work()
    watch.heartbeat?.leave()
    watch.trace?.record(call, of: self, since: start, begunBefore: begunBefore)
    accounting[call.collective].seconds += Double(nanoseconds() - start) * 1e-9
  }

  /// Compares what ranks came for where the collective is only begun.
  func compareIfChecked(_ call: CollectiveCall, _ terms: CollectiveTerms) {
    guard size > 1 && watch.isChecking else { return }
    watch.heartbeat?.enter(call, group: name)
    compare(Announcement(call, terms, step: watch.step))
    watch.heartbeat?.leave()
  }

  /// Completes `memory`, of which this rank filled its own `counts[rank]` bytes in place.
  func allGather(
    _ memory: UnsafeMutableRawPointer, counts: [Int], as collective: Collective,
    file: StaticString = #fileID, line: UInt32 = #line
  ) {
    meet(
      collective, bytes: counts[rank] * (size - 1),
      on: CollectiveTerms(.byte, count: counts.reduce(0, +), cut: counts),
      at: CallSite(file: file, line: line)
    ) {
      transport.allGather(memory, counts: counts)
    }
  }

  /// Exchanges bytes; in a group of one copies them.
  package func exchange(
    _ send: UnsafeRawPointer, counts sendCounts: [Int],
    into receive: UnsafeMutableRawPointer, counts receiveCounts: [Int],
    file: StaticString = #fileID, line: UInt32 = #line
  ) {
    require(
      sendCounts.count == size && receiveCounts.count == size,
      "\(sendCounts.count) and \(receiveCounts.count) counts for \(size) ranks")
    if size == 1 {
      require(sendCounts == receiveCounts, "sends itself \(sendCounts), expects \(receiveCounts)")
      if sendCounts[0] > 0 { memmove(receive, send, sendCounts[0]) }
    }
    let site = CallSite(file: file, line: line)
    meet(
      .exchange, bytes: sendCounts.reduce(0, +) - sendCounts[rank], on: CollectiveTerms(.byte),
      at: site
    ) {
      if watch.isChecking { compare(send: sendCounts, receive: receiveCounts, at: site) }
      transport.allToAll(
        send, counts: sendCounts, offsets: sendCounts.offsets, into: receive, counts: receiveCounts)
    }
  }

  /// Everyone's values one after another; each rank gives equally many.
  private func gatherEqual<Value>(
    _ values: [Value], as collective: Collective, at site: CallSite
  ) -> [Value] {
    let terms = CollectiveTerms(.init(of: Value.self), count: values.count)
    guard size > 1, !values.isEmpty else {
      meet(collective, bytes: 0, on: terms, at: site) {}
      return values
    }
    var whole = [Value](repeating: values[0], count: values.count * size)
    whole.replaceSubrange(rank * values.count..<(rank + 1) * values.count, with: values)
    let bytes = values.count * MemoryLayout<Value>.stride
    whole.withUnsafeMutableBytes { memory in
      meet(collective, bytes: bytes * (size - 1), on: terms, at: site) {
        transport.allGather(
          memory.baseAddress!, counts: [Int](repeating: bytes, count: size))
      }
    }
    return whole
  }

  /// Elementwise in rank order; for a few numbers, which all ranks gather and combine alike.
  private func combine<Value>(
    _ values: [Value], as collective: Collective, at site: CallSite,
    _ operation: (Value, Value) -> Value
  ) -> [Value] {
    let whole = gatherEqual(values, as: collective, at: site)
    guard size > 1 else { return whole }
    return values.indices.map { index in
      (1..<size).reduce(whole[index]) { operation($0, whole[$1 * values.count + index]) }
    }
  }

  /// Tells apart what is under way at once. 0 is for what is not; MPI allows 32767 at the least.
  func nextTag() -> Int {
    tags = tags % 30_000 + 1
    return tags
  }

  /// Stands for the memory of nothing.
  var noMemory: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: 64)! }
}
