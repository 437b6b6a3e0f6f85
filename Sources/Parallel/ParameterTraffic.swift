// Gradients on their way to be summed while backward still runs, values while the next forward does.

import Kernels
import Tensors

/// What of a parameter set is under way between ranks.
final class ParameterTraffic {
  /// Sums that have started, oldest first, with the bytes that they hold.
  private var sums: [(pending: PendingReduceScatter, bytes: Int)] = []
  private var arrivals: [PendingAllGather] = []
  /// Groups whose sum has started in this step.
  private(set) var started = 0

  /// Most bytes of received gradients that wait to be added.
  private static let mostBytes = 64 << 20

  func add(_ pending: PendingReduceScatter, bytes: Int) {
    started += 1
    while let oldest = sums.first, sums.reduce(bytes, { $0 + $1.bytes }) > Self.mostBytes {
      oldest.pending.wait()
      sums.removeFirst()
    }
    sums.append((pending, bytes))
  }

  func add(_ pending: PendingAllGather) { arrivals.append(pending) }

  func poll() {
    if sums.isEmpty && arrivals.isEmpty { return }
    sums.removeAll { $0.pending.poll() }
    arrivals.removeAll { $0.poll() }
  }

  func finishSums() {
    for sum in sums { sum.pending.wait() }
    sums = []
    started = 0
  }

  func finishArrivals() {
    for arrival in arrivals { arrival.wait() }
    arrivals = []
  }
}

extension ParameterSet {
  /// Starts the sums of gradients of all buckets beyond `bucket`, of which backward will add no more;
  /// the last bucket goes first. Every rank calls it alike.
  public func startScatter(beyond bucket: Int, team: ThreadTeam) {
    let ready = groups.reversed().dropFirst(traffic.started).prefix { $0.bucket > bucket }
    for group in ready {
      for parameter in group.parameters { parameter.slot.zeroIfEmpty() }
      traffic.add(
        group.startScatter(team: team),
        bytes: group.gradients.count * group.gradients.precision.bytes)
    }
  }

  /// Starts what has not started, and returns when this rank's share of the gradients is summed; the
  /// bits are those of `reduceGradients`. What lies outside of the share is of no use afterwards.
  public func finishScatter(team: ThreadTeam) {
    startScatter(beyond: -1, team: team)
    traffic.finishSums()
  }

  /// Calls `change` with each piece that this rank updates, and starts to give every rank the values of
  /// a group as soon as its own are there; every rank calls it alike. Who looks at a parameter's value
  /// waits for it.
  public func update(_ change: (ParameterPiece) -> Void) {
    for (group, own) in zip(groups, groupPieces) {
      for piece in pieces[own] { change(piece) }
      traffic.add(group.startGather())
      traffic.poll()
    }
  }

  /// What brings on what is under way, to be called between operations. It keeps no memory of parameters,
  /// which finish that before they go.
  public var background: () -> Void { { [traffic] in traffic.poll() } }

  /// Gives all ranks the values that the learners have. Every rank of the world calls it.
  public func handOn() {
    traffic.finishArrivals()
    for group in groups { learners.handOn(group.values.matrix(columns: ParameterGroup.unit)) }
  }
}
