// How fast this machine multiplies matrices right now: the measure of every step's speed.

import Kernels
import Parallel
import Tensors

/// Matrix-product rate, measured when a run starts.
public struct ProductPeak: Sendable {
  /// Operations a second of all ranks together, all measuring at the same time.
  public let operationsPerSecond: Double

  /// Multiplies square matrices of 768 for about 50 ms on every rank; the best repetition counts.
  public init(device: Device, world: Communicator) {
    let size = 768
    let a = device.tensor([size, size], filledWith: 0.5)
    let b = device.tensor([size, size], filledWith: 0.25)
    let c = device.tensor([size, size])
    let operations = 2 * Double(size * size * size)
    world.barrier()
    var best = Double.infinity
    var total = 0.0
    while total < 0.05 {
      let start = ContinuousClock.now
      product(a.matrix, b.matrix, into: c.matrix, transposed: .right, team: device.team)
      let took = (ContinuousClock.now - start) / .seconds(1)
      best = min(best, took)
      total += took
    }
    operationsPerSecond = world.sum(operations / best)
  }
}
