// What each group of a mesh moved in a step, beside what it had to.

import Parallel

/// Reads the accounting of a mesh's groups from step to step, on one rank.
public struct CollectiveMeter {
  private let mesh: ProcessMesh
  private let minimum: CommunicationMinimum
  private var before: [CollectiveCount] = []

  /// `minimum` is of one step.
  public init(_ mesh: ProcessMesh, minimum: CommunicationMinimum) {
    self.mesh = mesh
    self.minimum = minimum
  }

  /// A step begins.
  public mutating func start() { before = mesh.communicators.map(\.accounting.total) }

  /// What was moved since; groups that moved nothing are left out.
  public func uses() -> [CollectiveUse] {
    var uses: [CollectiveUse] = []
    for (index, group) in mesh.communicators.enumerated() {
      let known = index < before.count ? before[index] : CollectiveCount()
      let spent = group.accounting.total - known
      guard spent.bytes > 0 else { continue }
      // Groups of the same name serve the same axis.
      if let same = uses.firstIndex(where: { $0.name == group.name }) {
        uses[same].calls += spent.calls
        uses[same].bytes += spent.bytes
        uses[same].seconds += spent.seconds
      } else {
        uses.append(
          CollectiveUse(
            group.name, calls: spent.calls, bytes: spent.bytes, seconds: spent.seconds,
            minimum: minimum[group.name].map { Int($0.rounded()) }))
      }
    }
    return uses
  }
}
