// Weights turned for as long as many products with few rows read them, as in generation.

import Kernels
import Tensors

extension ParameterSet {
  /// Runs `body`, which multiplies with the given weights [.., N, K] and changes no values, while
  /// products read copies of them that are turned: the same bits, sooner. Those that are turned already
  /// stay so, and nothing is copied.
  ///
  /// A copy costs about as much as three products with all of the weights, and as much memory.
  public func withTurned<Result>(
    _ weights: [Parameter], on device: Device, _ body: () throws -> Result
  ) rethrows -> Result {
    let weights = weights.filter { $0.value.storage.turned == nil }
    var pairs: [(weights: Matrix, turned: UnsafeMutableRawPointer)] = []
    for parameter in weights {
      let value = parameter.value
      let count = value.shape.count > 2 ? value.shape[0] : 1
      let memory = device.tensor([value.count + turnedPadding])
      let bytes = value.precision.bytes
      for (index, matrix) in (count == 1 ? [value.matrix] : value.groups).enumerated() {
        pairs.append((matrix, memory.base + index * matrix.count * bytes))
      }
      value.storage.turned = (memory, value.rows / max(count, 1), value.columns)
    }
    defer { for parameter in weights { parameter.value.storage.turned = nil } }
    turn(pairs, team: device.team)
    return try body()
  }
}
