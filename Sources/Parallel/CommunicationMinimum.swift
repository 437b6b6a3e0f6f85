// The fewest bytes that a rank has to send, by formula: what accounting is held against.

import Kernels

/// Bytes that one rank sends at the least, by group; every formula for n ranks that share alike.
///
/// A lower bound for exchanges whose counts are even. Whoever causes communication adds its own
/// share: parameters here, a model its activations.
public struct CommunicationMinimum: Sendable {
  /// Groups in the order in which they were named.
  public private(set) var groups: [(name: String, bytes: Double)] = []

  public init() {}

  /// A sum of `bytes` that every rank holds: 2(n − 1)/n of them.
  public mutating func addSum(of bytes: Int, over group: Communicator) {
    add(2 * Double(bytes) * share(group), to: group.name)
  }

  /// An all-gather or a reduce-scatter of a whole of `bytes`: (n − 1)/n of them.
  public mutating func addGather(of bytes: Int, over group: Communicator) {
    add(Double(bytes) * share(group), to: group.name)
  }

  /// An exchange of the `bytes` of one rank, as many for each: (n − 1)/n of them.
  public mutating func addExchange(of bytes: Int, over group: Communicator) {
    add(Double(bytes) * share(group), to: group.name)
  }

  /// Nil for a group of which nothing was said.
  public subscript(_ name: String) -> Double? { groups.first { $0.name == name }?.bytes }

  private func share(_ group: Communicator) -> Double {
    Double(group.size - 1) / Double(group.size)
  }

  private mutating func add(_ bytes: Double, to name: String) {
    if let known = groups.firstIndex(where: { $0.name == name }) {
      groups[known].bytes += bytes
    } else {
      groups.append((name, bytes))
    }
  }
}

extension ParameterSet {
  /// Gradients of one step, summed over the ranks that hold the same.
  public func addMinimum(to minimum: inout CommunicationMinimum) {
    for group in groups {
      let elements = group.parameters.reduce(0) { $0 + $1.gradient.count }
      minimum.addSum(of: elements * group.gradients.precision.bytes, over: group.replicas)
    }
  }
}
