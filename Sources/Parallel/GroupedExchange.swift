// Rows sorted by group, on their way to the ranks that hold the groups, and back.

import Kernels
import Tensors

/// Where rows of numbered groups (experts) go when the groups are dealt over ranks.
///
/// Rows travel by their true counts: groups and ranks without any take part with none. The ranks of
/// `sharers` hold slices of the same groups, so each of them gets all rows of its groups, and what
/// they compute is summed on the way back.
public struct GroupedExchange {
  /// Rows of this rank's group g, after `dispatched`: offsets[g] ..< offsets[g + 1].
  public let offsets: [Int]
  private let owners: Communicator
  private let sharers: Communicator
  /// Rows to each owner, and from each rank among the owners.
  private let send: [Int]
  private let receive: [Int]
  /// Rows that each sharer received.
  private let shared: [Int]
  /// Where row p of the sorted rows stands among the received ones; nil where they come sorted.
  private let order: [Int32]?
  private let inverse: [Int32]?

  /// Of one rank, where all rows are at once.
  fileprivate init(alone counts: [Int], owners: Communicator, sharers: Communicator) {
    self.owners = owners
    self.sharers = sharers
    offsets = counts.offsets + [counts.reduce(0, +)]
    (send, receive, shared) = ([], [], [])
    (order, inverse) = (nil, nil)
  }

  fileprivate init(counts: [Int], owners: Communicator, sharers: Communicator) {
    require(
      counts.count % owners.size == 0, "\(counts.count) groups over \(owners.size) ranks")
    self.owners = owners
    self.sharers = sharers
    let groups = counts.count / owners.size
    send = (0..<owners.size).map { counts[$0 * groups..<($0 + 1) * groups].reduce(0, +) }
    // [sources][groups] of this rank; of all sharers one after another.
    let own = owners.exchange(counts)
    let all = sharers.allGather(own)
    receive = own.rowSums(of: groups)
    shared = all.rowSums(of: own.count)
    let sources = all.count / groups
    var offsets = [0]
    for group in 0..<groups {
      let count = (0..<sources).reduce(0) { $0 + all[$1 * groups + group] }
      offsets.append(offsets[group] + count)
    }
    self.offsets = offsets
    guard sources > 1 && groups > 1 else {
      order = nil
      inverse = nil
      return
    }
    let starts = all.offsets
    var order: [Int32] = []
    order.reserveCapacity(offsets[groups])
    for group in 0..<groups {
      for source in 0..<sources {
        let block = source * groups + group
        order += (starts[block]..<starts[block] + all[block]).map(Int32.init)
      }
    }
    var inverse = order
    for (place, row) in order.enumerated() { inverse[Int(row)] = Int32(place) }
    self.order = order
    self.inverse = inverse
  }

  /// Sends rows sorted by group to the ranks of their groups; other work may run meanwhile.
  public func startDispatch(_ x: Variable) -> RowsUnderWay {
    owners.startExchanged(x, send: send, receive: receive)
  }

  /// What `startDispatch` brought: all rows of this rank's groups, sorted by group.
  public func dispatched(_ rows: RowsUnderWay) -> Variable {
    let gathered = sharers.allGathered(rows.arrived(), counts: shared)
    return order.map { select(gathered, rows: $0) } ?? gathered
  }

  /// The way back, whose rows arrive as `startDispatch` got them; what the sharers computed of a row is
  /// summed.
  public func startCollect(_ y: Variable) -> RowsUnderWay {
    let sorted = inverse.map { select(y, rows: $0) } ?? y
    return owners.startExchanged(
      sharers.reduceScattered(sorted, counts: shared), send: receive, receive: send)
  }
}

extension [Int] {
  /// Sums of consecutive runs of `length`.
  fileprivate func rowSums(of length: Int) -> [Int] {
    stride(from: 0, to: count, by: length).map { self[$0..<$0 + length].reduce(0, +) }
  }
}

extension Communicator {
  /// The way of rows to the ranks that hold their groups: `counts[g]` of this rank's are of group g, of
  /// all groups; these ranks hold equally many groups each, in order, and `sharers` slices of them.
  /// Meets one collective on each of the two.
  public func groupedExchange(counts: [Int], sharers: Communicator) -> GroupedExchange {
    size * sharers.size > 1
      ? GroupedExchange(counts: counts, owners: self, sharers: sharers)
      : GroupedExchange(alone: counts, owners: self, sharers: sharers)
  }
}
