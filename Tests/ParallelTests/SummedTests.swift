// The sum that all ranks get, on the tape: its value, and that it is its own dual.

import Kernels
import Parallel
import Tensors
import Testing

@Suite struct SummedTests {
  @Test(arguments: [0, 1, 2, 7])
  func `each rank's numbers get the gradient that the owners of the items give`(items: Int) throws {
    try onRanks { world, checks in
      let device = try Device(precision: .float64, threads: 1)
      let tape = Tape(device)
      let own = (0..<items).map { sample(rank: world.rank, index: $0) }
      let gradient = device.tensor([items, 1])
      let slot = GradientSlot(into: gradient, on: device)
      let sum = world.summed(tape.variable(device.tensor([items, 1], own), gradient: slot))
      checks.equal(
        sum.value.elements,
        (0..<items).map { sampleSum(ranks: world.size, index: $0, precision: .float64) }, "sum")
      // The objective: Σ over ranks of Σ over own items i of (i + 1)² · sum_i.
      let places = world.ownItems(of: items)
      let mine = select(sum, rows: places.map { Int32($0) })
      let weights = places.map { Double(($0 + 1) * ($0 + 1)) }
      tape.backward(from: [
        weightedTotal(mine, weights: device.tensor([places.count, 1], weights))
      ])
      slot.zeroIfEmpty()
      checks.equal(
        gradient.elements, (0..<items).map { Double(($0 + 1) * ($0 + 1)) }, "gradient")
      checks.equal(world.gather(places).joined().sorted(), Array(0..<items), "items")
    }
  }
}
