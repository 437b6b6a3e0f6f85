// What one rank computes with: a precision, a team of threads, and memory that is reused.

import Kernels

/// Precision, threads and activation memory of one rank. Used from that rank's thread alone.
public final class Device {
  public let precision: Precision
  public let team: ThreadTeam
  /// Called between operations: each brings on what is under way beside them, messages say.
  package var background: [() -> Void] = []
  private let large: Arena
  private let small: Arena

  /// Throws `AddressError` where the system gives too few addresses.
  public init(precision: Precision, threads: Int) throws {
    self.precision = precision
    team = ThreadTeam(size: threads)
    large = try Arena(reserving: 1 << 38, least: 1 << 28)
    small = try Arena(reserving: min(1 << 32, large.reserved / 8), least: 1 << 25)
  }

  /// Most bytes of activations that were ever alive at once (gaps included).
  public var activationHighWater: Int { large.highWater + small.highWater }

  func runBackground() {
    if background.isEmpty { return }
    for work in background { work() }
  }

  /// A tensor with undefined contents.
  public func tensor(_ shape: TensorShape) -> Tensor {
    let bytes = shape.elements * precision.bytes
    let arena = bytes < 1 << 16 ? small : large
    return Tensor(
      shape: shape, precision: precision,
      storage: Storage(arena.take(bytes), bytes: bytes, from: arena))
  }

  /// A tensor with the given elements, rounded to the device's precision.
  public func tensor(_ shape: TensorShape, _ elements: [Double]) -> Tensor {
    let tensor = tensor(shape)
    tensor.assign(elements)
    return tensor
  }

  /// A tensor of one value throughout.
  public func tensor(_ shape: TensorShape, filledWith value: Double) -> Tensor {
    let tensor = tensor(shape)
    fill(tensor.matrix, value, team: team)
    return tensor
  }
}
