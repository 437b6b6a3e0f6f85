// A learned array: declared once, from which everything else about it follows.

import Kernels
import Tensors

/// How a parameter's first values are drawn.
public enum Initialiser: Sendable, Equatable {
  case normal(deviation: Double)
  case constant(Double)
}

/// One learned array, or the slice of it that this rank holds.
///
/// The declaration (name, global shape, initial values, placement) stands once, where the layer is
/// made; memory comes when all are declared (`ParameterSet.allocate`).
public final class Parameter {
  public let name: String
  /// Shape of the whole array, over all ranks.
  public let shape: [Int]
  public let initial: Initialiser
  public let placement: Placement
  /// The part of the whole array that this rank holds, one range a dimension; known once allocated.
  public private(set) var slice: [Range<Int>] = []
  private var memory: (value: Tensor, gradient: Tensor, slot: GradientSlot)?

  init(name: String, shape: [Int], initial: Initialiser, placement: Placement) {
    self.name = name
    self.shape = shape
    self.initial = initial
    self.placement = placement
  }

  /// Elements of the whole array.
  public var count: Int { shape.reduce(1, *) }
  /// Whether weight decay counts it as a matrix: two or more dimensions.
  public var isMatrix: Bool { shape.count >= 2 }

  /// This rank's slice.
  public var value: Tensor { allocated.value }
  /// The gradient of this rank's slice.
  public var gradient: Tensor { allocated.gradient }
  public var slot: GradientSlot { allocated.slot }

  private var allocated: (value: Tensor, gradient: Tensor, slot: GradientSlot) {
    guard let memory else { fatalError("\(name) is declared but not allocated") }
    return memory
  }

  func allocate(slice: [Range<Int>], value: Tensor, gradient: Tensor, on device: Device) {
    self.slice = slice
    memory = (value, gradient, GradientSlot(into: gradient, on: device))
  }

  /// The parameter as an operand.
  public func on(_ tape: Tape) -> Variable { tape.variable(value, gradient: slot) }
}

/// All parameters of a model, in the order of declaration, with their memory.
///
/// Those that the same ranks hold alike lie together in one flat buffer, weights and gradients
/// each, so that one sum serves them all.
public final class ParameterSet {
  public private(set) var parameters: [Parameter] = []
  /// Parameters that the same group of ranks holds alike, and their flat memory.
  public private(set) var groups: [Group] = []
  private var names: Set<String> = []

  public struct Group {
    public let replicas: Communicator
    public let parameters: [Parameter]
    public let values: Tensor
    public let gradients: Tensor
  }

  public init() {}

  /// Declares a parameter. Its name is unique in the model.
  public func declare(
    _ name: String, _ shape: [Int], _ initial: Initialiser, placement: Placement = .whole
  ) -> Parameter {
    require(names.insert(name).inserted, "\(name) is declared twice")
    let parameter = Parameter(name: name, shape: shape, initial: initial, placement: placement)
    parameters.append(parameter)
    return parameter
  }

  /// Elements of all parameters, whole.
  public var count: Int { parameters.reduce(0) { $0 + $1.count } }

  /// Gives every declared parameter its memory and first values.
  ///
  /// Values are keyed by (seed, name, global element), so a slice equals that part of the whole.
  public func allocate(on device: Device, mesh: ProcessMesh, seed: UInt64) {
    require(groups.isEmpty, "parameters are allocated once")
    var order: [Communicator] = []
    var members: [[Parameter]] = []
    for parameter in parameters {
      let replicas = mesh.replicas(of: parameter.placement)
      if let known = order.firstIndex(where: { $0 === replicas }) {
        members[known].append(parameter)
      } else {
        order.append(replicas)
        members.append([parameter])
      }
    }
    for (replicas, parameters) in zip(order, members) {
      groups.append(group(parameters, replicas: replicas, on: device, mesh: mesh, seed: seed))
    }
  }

  private func group(
    _ parameters: [Parameter], replicas: Communicator, on device: Device, mesh: ProcessMesh,
    seed: UInt64
  ) -> Group {
    let precision = device.precision
    let slices = parameters.map { $0.placement.slice(of: $0.shape, on: mesh) }
    // Each parameter starts at a multiple of 16 elements, so that vectors load aligned.
    var offsets: [Int] = []
    var total = 0
    for slice in slices {
      offsets.append(total)
      total += (slice.reduce(1) { $0 * $1.count } + 15) / 16 * 16
    }
    let values = Storage(bytes: total * precision.bytes)
    let gradients = Storage(bytes: total * precision.bytes)
    for (index, parameter) in parameters.enumerated() {
      let shape = slices[index].map(\.count)
      parameter.allocate(
        slice: slices[index],
        value: Tensor(shape: shape, precision: precision, storage: values, offset: offsets[index]),
        gradient: Tensor(
          shape: shape, precision: precision, storage: gradients, offset: offsets[index]),
        on: device)
      draw(parameter, slice: slices[index], seed: seed, team: device.team)
    }
    return Group(
      replicas: replicas, parameters: parameters,
      values: Tensor(shape: [total], precision: precision, storage: values),
      gradients: Tensor(shape: [total], precision: precision, storage: gradients))
  }

  private func draw(_ parameter: Parameter, slice: [Range<Int>], seed: UInt64, team: ThreadTeam) {
    switch parameter.initial {
    case .constant(let value): fill(parameter.value.matrix, value, team: team)
    case .normal(let deviation):
      let key = RandomKey(seed: seed, name: parameter.name)
      // Runs of consecutive rows: all dimensions but the last two are walked.
      let shape = parameter.shape
      let columns = shape.last ?? 1
      let rows = shape.count >= 2 ? shape[shape.count - 2] : 1
      let lastRows = slice.count >= 2 ? slice[slice.count - 2] : 0..<1
      let lastColumns = slice.last ?? 0..<1
      let outer = Array(slice.dropLast(2))
      let blocks = outer.reduce(1) { $0 * $1.count }
      let block = lastRows.count * lastColumns.count
      for index in 0..<blocks {
        var rest = index
        var global = 0
        var weight = 1
        for dimension in outer.indices.reversed() {
          global += (outer[dimension].lowerBound + rest % outer[dimension].count) * weight
          rest /= outer[dimension].count
          weight *= shape[dimension]
        }
        let first = (global * rows + lastRows.lowerBound) * columns + lastColumns.lowerBound
        let target = Matrix(
          parameter.value.base + index * block * parameter.value.precision.bytes,
          rows: lastRows.count, columns: lastColumns.count, precision: parameter.value.precision)
        fillNormal(
          target, key: key, firstElement: first, rowStride: columns, standardDeviation: deviation,
          team: team)
      }
    }
  }
}
