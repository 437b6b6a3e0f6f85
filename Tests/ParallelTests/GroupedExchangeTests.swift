// Rows to the ranks that hold their groups and back: every row once, sorted, for the bytes it must cost.

import Kernels
import Parallel
import Tensors
import Testing

@Suite struct GroupedExchangeTests {
  /// Rows of group g on a rank: some have none, one rank has none at all.
  private static func count(rank: Int, group: Int) -> Int {
    rank == 1 ? 0 : (rank * 5 + group * 3) % 4
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2)])
  func `rows arrive sorted by group, return as sums of what the sharers made, and cost their bytes`(
    sizes: (owners: Int, sharers: Int)
  ) throws {
    let groups = 8
    let columns = 3
    try onRanks([sizes.owners * sizes.sharers]) { world, checks in
      let mesh = ProcessMesh(
        world,
        layout: try Layout(
          ranks: world.size, expert: sizes.owners, expertTensor: sizes.sharers))
      let (owners, sharers) = (mesh.communicator(.expert), mesh.communicator(.expertTensor))
      let counts = (0..<groups).map { Self.count(rank: world.rank, group: $0) }
      let device = try Device(precision: .float64, threads: 1)
      // A row says its rank, its group and its number.
      let rows = counts.enumerated().flatMap { group, count in
        (0..<count).flatMap { [Double(world.rank), Double(group), Double($0)] }
      }
      let tape = Tape(device)
      let x = tape.constant(device.tensor([rows.count / columns, columns], rows))
      let exchange = owners.groupedExchange(counts: counts, sharers: sharers)
      let before = owners.accounting.total.bytes
      let arrived = exchange.dispatched(exchange.startDispatch(x))
      let local = groups / sizes.owners
      var expected: [Double] = []
      for group in owners.rank * local..<(owners.rank + 1) * local {
        for sharer in 0..<sizes.sharers {
          for owner in 0..<sizes.owners {
            let rank = owner * sizes.sharers + sharer
            for row in 0..<Self.count(rank: rank, group: group) {
              expected += [Double(rank), Double(group), Double(row)]
            }
          }
        }
      }
      checks.equal(arrived.value.elements, expected, "rows that arrive")
      checks.equal(exchange.offsets.last!, expected.count / columns, "offsets' end")
      let sent = counts.enumerated().reduce(0) {
        $0 + ($1.offset / local == owners.rank ? 0 : $1.element)
      }
      checks.equal(
        owners.accounting.total.bytes - before, sent * columns * 8, "bytes to other owners")
      let back = exchange.startCollect(arrived).arrived().value.elements
      checks.equal(back, rows.map { $0 * Double(sizes.sharers) }, "rows that return")
    }
  }
}
