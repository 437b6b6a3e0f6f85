// What carries bytes between the ranks of one group. Knows no numbers: sums are made above it.

/// A group of ranks that can exchange bytes; `MPITransport` and `ThreadTransport` are the two.
///
/// Every rank of the group meets every call, in the same order. No call returns on a rank while
/// its memory is still read or written by another. A group that lost a rank never returns: the
/// process (MPI) or the thread (in process) ends instead, so nothing here throws.
protocol Transport: AnyObject {
  var rank: Int { get }
  var size: Int { get }

  /// The group of those that give the same `color`, ordered by their rank in this group.
  func split(color: Int) -> any Transport

  /// Returns when all have come.
  func barrier()

  /// Sends each rank its own bytes: `sendCounts[r]` of them at `sendOffsets[r]` to rank r; what
  /// comes in is laid one after another.
  func allToAll(
    _ send: UnsafeRawPointer, counts sendCounts: [Int], offsets sendOffsets: [Int],
    into receive: UnsafeMutableRawPointer, counts receiveCounts: [Int])

  /// Completes `memory`, of which each rank has filled its own part: `counts[r]` bytes of rank r,
  /// laid one after another.
  func allGather(_ memory: UnsafeMutableRawPointer, counts: [Int])

  /// Starts to send each rank its bytes, and to receive theirs. Memory is the transport's until the
  /// exchange is over. Exchanges that are under way at once have different tags of 1 or more, the
  /// same on all ranks.
  func start(_ plan: ExchangePlan, tag: Int) -> any StartedExchange

  /// Brings on what has started, in any group of the process.
  func progress()

  /// Whether the group's ranks are on several machines.
  var spansMachines: Bool { get }

  /// Whether the run has failed elsewhere, so that nobody needs to watch it. From any thread.
  var isOver: Bool { get }

  /// Ends all ranks of the run after saying why.
  func abort(_ error: any Error, speaker: String, code: Int32) -> Never
}

/// Which bytes go where; a rank sends itself nothing.
struct ExchangePlan {
  let send: UnsafeRawPointer
  let sendCounts: [Int]
  let sendOffsets: [Int]
  let receive: UnsafeMutableRawPointer
  let receiveCounts: [Int]
  let receiveOffsets: [Int]
}

/// An exchange that is under way.
protocol StartedExchange: AnyObject {
  /// Whether it is over; brings it on.
  func poll() -> Bool

  /// Returns when it is over.
  func wait()
}

extension [Int] {
  /// Where each part begins when parts of these counts lie one after another.
  var offsets: [Int] {
    var total = 0
    return map { count in
      defer { total += count }
      return total
    }
  }
}
