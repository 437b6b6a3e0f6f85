// Parameters that the same ranks hold alike: flat in memory, each of those ranks updating a share.

import Kernels
import Tensors

/// Parameters that the same group of ranks holds alike, one after another in flat memory.
///
/// Each of these ranks adds up the gradients of one share of the flat memory and updates it
/// (ZeRO-1, Rajbhandari et al. 2020, §5.1); values are gathered after that.
public struct ParameterGroup {
  /// Elements that are dealt together and start aligned: a share is so many times a whole number.
  static let unit = 16

  public let replicas: Communicator
  /// Which part of the set's declarations they come from.
  let bucket: Int
  public let parameters: [Parameter]
  /// All slices, each starting at a multiple of `unit` elements; gaps are zeros.
  public let values: Tensor
  public let gradients: Tensor
  let plan: FlatPlan

  /// The ranks' shares in units.
  private var units: [Int] {
    (0..<replicas.size).map {
      Parallel.share(of: plan.count / Self.unit, part: $0, of: replicas.size).count
    }
  }

  private func own(_ tensor: Tensor) -> Matrix {
    tensor.matrix(columns: Self.unit)
      .rows(plan.share.lowerBound / Self.unit, count: plan.share.count / Self.unit)
  }

  /// This rank's share of the gradients.
  var ownGradients: Matrix { own(gradients) }

  /// Adds up this rank's share of the gradients; the other shares keep what this rank had.
  func scatterGradients(team: ThreadTeam) {
    replicas.reduceScatter(
      gradients.matrix(columns: Self.unit), counts: units, into: ownGradients, team: team)
  }

  /// Starts what `scatterGradients` does.
  func startScatter(team: ThreadTeam) -> PendingReduceScatter {
    replicas.startReduceScatter(
      gradients.matrix(columns: Self.unit), counts: units, into: ownGradients, team: team)
  }

  /// Starts to give all replicas the values of this rank's share; who looks at a value waits for it.
  func startGather() -> PendingAllGather {
    let started = replicas.startAllGather(
      own(values), into: values.matrix(columns: Self.unit), counts: units)
    for parameter in parameters { parameter.arrival = started }
    return started
  }
}

/// How one rank's slices of a group's parameters lie in flat memory, and which share of it is its.
///
/// A function of the rank's position alone, so that every rank knows it of every other.
struct FlatPlan {
  let slices: [[Range<Int>]]
  /// Where each slice begins.
  let offsets: [Int]
  /// Elements, gaps included.
  let count: Int
  /// The elements that this rank adds up and updates.
  let share: Range<Int>

  /// The parameters have the same replicas at every position.
  init(_ parameters: [Parameter], at position: MeshPosition) {
    let unit = ParameterGroup.unit
    slices = parameters.map { $0.placement.slice(of: $0.shape, at: position) }
    var offsets: [Int] = []
    var total = 0
    for slice in slices {
      offsets.append(total)
      total += (slice.reduce(1) { $0 * $1.count } + unit - 1) / unit * unit
    }
    self.offsets = offsets
    count = total
    let placement = parameters[0].placement
    let key = placement.replicaKey(at: position)
    let replicas = (0..<position.layout.ranks).filter {
      placement.replicaKey(at: MeshPosition(position.layout, rank: $0)) == key
    }
    let units = Parallel.share(
      of: total / unit, part: replicas.firstIndex(of: position.rank)!, of: replicas.count)
    share = units.lowerBound * unit..<units.upperBound * unit
  }

  /// The elements of each slice, row-major, that lie in this rank's share; empty where none do.
  var ownElements: [Range<Int>] {
    zip(slices, offsets).map { slice, offset in
      let count = slice.reduce(1) { $0 * $1.count }
      return (share.lowerBound - offset..<share.upperBound - offset).clamped(to: 0..<count)
    }
  }
}

/// The part of a parameter's slice that lies in this rank's share.
public struct ParameterPiece {
  public let parameter: Parameter
  /// Elements of the slice, row-major.
  public let elements: Range<Int>
  /// Where they lie among all elements of this rank's shares, one group after another.
  public let place: Range<Int>

  public var values: Matrix {
    parameter.value.flat.columns(elements.lowerBound, count: elements.count)
  }
  public var gradients: Matrix {
    parameter.gradient.flat.columns(elements.lowerBound, count: elements.count)
  }
  /// Where it lies in the whole parameter.
  public var part: SlicePart {
    SlicePart(of: parameter.shape, slice: parameter.slice, elements: elements)
  }
}
