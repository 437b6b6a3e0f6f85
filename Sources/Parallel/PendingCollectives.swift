// Collectives that are under way while the rank computes: polled now and then, at last waited for.

import Kernels

/// A reduce-scatter under way; bits equal to `Communicator.reduceScatter`'s.
///
/// Until it is over `whole` must not be written, nor `own` used. Several may be under way on one
/// group, started in the same order on all ranks; each rank polls and waits when it likes.
/// Open MPI moves bytes only while it is called, so that what is never polled travels in `wait`.
public final class PendingReduceScatter {
  private let group: Communicator
  private let call: CollectiveCall
  private let whole: Matrix
  private let mine: Range<Int>
  private let own: Matrix
  private let team: ThreadTeam?
  private let staging: StagingMemory.Loan
  private var exchange: (any StartedExchange)?

  fileprivate init(
    _ call: CollectiveCall, _ whole: Matrix, slices: [Range<Int>], into own: Matrix,
    over group: Communicator, team: ThreadTeam?, tag: Int
  ) {
    self.group = group
    self.call = call
    self.whole = whole
    self.own = own
    self.team = team
    mine = slices[group.rank]
    let width = whole.precision.bytes
    var receiveCounts = [Int](repeating: mine.count * width, count: group.size)
    receiveCounts[group.rank] = 0
    var sendCounts = slices.map { $0.count * width }
    sendCounts[group.rank] = 0
    staging = group.staging.borrow(bytes: receiveCounts.reduce(0, +))
    if group.size > 1 {
      exchange = group.transport.start(
        ExchangePlan(
          send: UnsafeRawPointer(whole.base), sendCounts: sendCounts,
          sendOffsets: slices.map { $0.lowerBound * width }, receive: staging.base,
          receiveCounts: receiveCounts, receiveOffsets: receiveCounts.offsets), tag: tag)
    } else {
      group.copyBytes(of: group.part(whole, mine), to: own)
    }
  }

  deinit {
    wait()
    group.staging.giveBack(staging)
  }

  /// Whether it is over; brings it on.
  public func poll() -> Bool {
    guard let exchange else { return true }
    guard exchange.poll() else { return false }
    add()
    return true
  }

  /// Returns when it is over.
  public func wait() {
    guard let exchange else { return }
    group.spend(in: call, begunBefore: true) { exchange.wait() }
    add()
  }

  private func add() {
    exchange = nil
    group.addInRankOrder(whole, mine, received: staging.base, into: own, team: team)
  }
}

/// An all-gather under way; what `Communicator.allGather` does.
///
/// Until it is over `whole` must not be used. Several may be under way, as of
/// `PendingReduceScatter`.
public final class PendingAllGather {
  private let group: Communicator
  private let call: CollectiveCall
  private var exchange: (any StartedExchange)?

  fileprivate init(
    _ call: CollectiveCall, _ own: Matrix, into whole: Matrix, slices: [Range<Int>],
    over group: Communicator, tag: Int
  ) {
    self.group = group
    self.call = call
    let mine = slices[group.rank]
    group.copyBytes(of: own, to: group.part(whole, mine))
    guard group.size > 1 else { return }
    let width = whole.precision.bytes
    var sendCounts = [Int](repeating: mine.count * width, count: group.size)
    sendCounts[group.rank] = 0
    var receiveCounts = slices.map { $0.count * width }
    receiveCounts[group.rank] = 0
    exchange = group.transport.start(
      ExchangePlan(
        send: UnsafeRawPointer(whole.base), sendCounts: sendCounts,
        sendOffsets: [Int](repeating: mine.lowerBound * width, count: group.size),
        receive: whole.base, receiveCounts: receiveCounts,
        receiveOffsets: slices.map { $0.lowerBound * width }), tag: tag)
  }

  deinit { wait() }

  /// Whether it is over; brings it on.
  public func poll() -> Bool {
    guard let exchange else { return true }
    guard exchange.poll() else { return false }
    self.exchange = nil
    return true
  }

  /// Returns when it is over.
  public func wait() {
    guard let exchange else { return }
    group.spend(in: call, begunBefore: true) { exchange.wait() }
    self.exchange = nil
  }
}

/// An exchange of rows under way; what `Communicator.exchange` does.
///
/// Until it is over what is sent must not be written, nor what comes be used. Several may be under
/// way, as of `PendingReduceScatter`.
public final class PendingExchange {
  private let group: Communicator
  private let call: CollectiveCall
  private var exchange: (any StartedExchange)?

  fileprivate init(
    _ call: CollectiveCall, _ send: Matrix, counts sendCounts: [Int], into receive: Matrix,
    counts receiveCounts: [Int], over group: Communicator, tag: Int
  ) {
    self.group = group
    self.call = call
    let own = group.rank
    let (sendOffsets, receiveOffsets) = (sendCounts.offsets, receiveCounts.offsets)
    group.copyBytes(
      of: send.rows(sendOffsets[own], count: sendCounts[own]),
      to: receive.rows(receiveOffsets[own], count: receiveCounts[own]))
    guard group.size > 1 else { return }
    let width = send.columns * send.precision.bytes
    func toOthers(_ counts: [Int]) -> [Int] {
      counts.enumerated().map { $0 == own ? 0 : $1 * width }
    }
    exchange = group.transport.start(
      ExchangePlan(
        send: UnsafeRawPointer(send.base), sendCounts: toOthers(sendCounts),
        sendOffsets: sendOffsets.map { $0 * width }, receive: receive.base,
        receiveCounts: toOthers(receiveCounts), receiveOffsets: receiveOffsets.map { $0 * width }),
      tag: tag)
  }

  deinit { wait() }

  /// Returns when it is over.
  public func wait() {
    guard let exchange else { return }
    group.spend(in: call, begunBefore: true) { exchange.wait() }
    self.exchange = nil
  }
}

extension Communicator {
  /// Starts `exchange`. The dual is the same with the two sides exchanged.
  public func startExchange(
    _ send: Matrix, counts sendCounts: [Int], into receive: Matrix, counts receiveCounts: [Int],
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> PendingExchange {
    requireRows(send, sendCounts, receive, receiveCounts)
    let site = CallSite(file: file, line: line)
    let rowBytes = send.columns * send.precision.bytes
    let call = count(
      .exchange, bytes: (send.rows - sendCounts[rank]) * rowBytes, at: site)
    compareIfChecked(call, CollectiveTerms(.byte))
    if size > 1 && watch.isChecking {
      compare(
        send: sendCounts.map { $0 * rowBytes }, receive: receiveCounts.map { $0 * rowBytes },
        at: site)
    }
    return PendingExchange(
      call, send, counts: sendCounts, into: receive, counts: receiveCounts, over: self,
      tag: nextTag())
  }

  /// Brings on what is under way in any group of this process.
  public func progress() { transport.progress() }

  /// Starts `reduceScatter`. The dual is `startAllGather`.
  public func startReduceScatter(
    _ whole: Matrix, counts: [Int], into own: Matrix, team: ThreadTeam? = nil,
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> PendingReduceScatter {
    let slices = elementSlices(of: whole, counts: counts, own: own)
    let call = count(
      .reduceScatter, bytes: (whole.count - own.count) * whole.precision.bytes,
      at: CallSite(file: file, line: line))
    compareIfChecked(call, CollectiveTerms(whole, cut: counts))
    return PendingReduceScatter(
      call, whole, slices: slices, into: own, over: self, team: team, tag: nextTag())
  }

  /// Starts `allGather`. The dual is `startReduceScatter`.
  public func startAllGather(
    _ own: Matrix, into whole: Matrix, counts: [Int], file: StaticString = #fileID,
    line: UInt32 = #line
  ) -> PendingAllGather {
    let slices = elementSlices(of: whole, counts: counts, own: own)
    let call = count(
      .allGather, bytes: own.count * (size - 1) * own.precision.bytes,
      at: CallSite(file: file, line: line))
    compareIfChecked(call, CollectiveTerms(whole, cut: counts))
    return PendingAllGather(call, own, into: whole, slices: slices, over: self, tag: nextTag())
  }
}
