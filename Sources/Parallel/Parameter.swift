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
  /// Brings values that other ranks have updated; done before they are looked at.
  var arrival: PendingAllGather?
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
  public var value: Tensor {
    if let arrival {
      self.arrival = nil
      arrival.wait()
    }
    return allocated(memory?.value)
  }
  /// The gradient of this rank's slice.
  public var gradient: Tensor { allocated(memory?.gradient) }
  public var slot: GradientSlot { allocated(memory?.slot) }

  private func allocated<Part>(_ part: Part?) -> Part {
    guard let part else { fatalError("\(name) is declared but not allocated") }
    return part
  }

  func allocate(slice: [Range<Int>], value: Tensor, gradient: Tensor, on device: Device) {
    self.slice = slice
    memory = (value, gradient, GradientSlot(into: gradient, on: device))
  }

  /// The parameter as an operand.
  public func on(_ tape: Tape) -> Variable {
    tape.isRecording && tape.isLearning
      ? tape.variable(value, gradient: slot) : tape.constant(value)
  }
}

/// All parameters of a model, in the order of declaration, with their memory.
///
/// Those that the same ranks hold alike lie together in flat memory, so that one sum serves them all
/// and its shares can be dealt to those ranks.
public final class ParameterSet {
  public private(set) var parameters: [Parameter] = []
  /// Parameters by the group of ranks that holds them alike.
  public private(set) var groups: [ParameterGroup] = []
  /// Gradient sums and values under way.
  let traffic = ParameterTraffic()
  private var buckets: [ObjectIdentifier: Int] = [:]
  private var bucket = 0
  private var bucketElements = 0
  private let leastBucketElements: Int
  /// What this rank updates: parts of parameters, group after group.
  public private(set) var pieces: [ParameterPiece] = []
  /// Which of them are each group's.
  private(set) var groupPieces: [Range<Int>] = []
  /// Elements of this rank's shares, gaps between parameters included.
  public private(set) var ownCount = 0
  private var learningRanks: Learners?
  private var names: Set<String> = []

  /// Parts of fewer elements are summed together with what follows them.
  public init(leastBucketElements: Int = usualBucketElements) {
    self.leastBucketElements = leastBucketElements
  }

  // Whoever writes into the parameters' memory must be through before it goes.
  deinit {
    traffic.finishSums()
    traffic.finishArrivals()
  }
  /// Declares a parameter. Its name is unique in the model.
  public func declare(
    _ name: String, _ shape: [Int], _ initial: Initialiser, placement: Placement = .whole
  ) -> Parameter {
    require(names.insert(name).inserted, "\(name) is declared twice")
    let parameter = Parameter(name: name, shape: shape, initial: initial, placement: placement)
    parameters.append(parameter)
    buckets[ObjectIdentifier(parameter)] = bucket
    bucketElements += parameter.count
    return parameter
  }

  /// What is declared from here on may be summed over ranks apart from what was before, as soon as
  /// backward is through with it. Small parts stay together. Gives the part's number.
  @discardableResult public func beginBucket() -> Int {
    if bucketElements >= leastBucketElements {
      bucket += 1
      bucketElements = 0
    }
    return bucket
  }

  /// Elements below which a sum of its own does not pay.
  public static let usualBucketElements = 1 << 19

  /// Elements of all parameters, whole.
  public var count: Int { parameters.reduce(0) { $0 + $1.count } }

  /// Who learns them.
  public var learners: Learners {
    guard let learningRanks else { fatalError("parameters are not allocated") }
    return learningRanks
  }

  /// Gives every declared parameter its memory and first values; all ranks learn.
  public func allocate(on device: Device, mesh: ProcessMesh, seed: UInt64) {
    allocate(on: device, learners: Learners(all: mesh), seed: seed)
  }

  /// The same where `learners` alone update them.
  ///
  /// Values are keyed by (seed, name, global element), so a slice equals that part of the whole.
  public func allocate(on device: Device, learners: Learners, seed: UInt64) {
    require(learningRanks == nil, "parameters are allocated once")
    learningRanks = learners
    let mesh = learners.mesh
    var order: [(replicas: Communicator, bucket: Int)] = []
    var members: [[Parameter]] = []
    for parameter in parameters {
      let replicas = mesh.replicas(of: parameter.placement)
      let bucket = buckets[ObjectIdentifier(parameter)]!
      if let known = order.firstIndex(where: { $0.replicas === replicas && $0.bucket == bucket }) {
        members[known].append(parameter)
      } else {
        order.append((replicas, bucket))
        members.append([parameter])
      }
    }
    for (place, parameters) in zip(order, members) {
      let group = group(
        parameters, replicas: place.replicas, bucket: place.bucket,
        plan: FlatPlan(parameters, at: mesh.position), on: device)
      groups.append(group)
      let first = pieces.count
      defer { groupPieces.append(first..<pieces.count) }
      guard learners.areHere else { continue }
      for (index, elements) in group.plan.ownElements.enumerated() where !elements.isEmpty {
        let start = ownCount + group.plan.offsets[index] - group.plan.share.lowerBound
        pieces.append(
          ParameterPiece(
            parameter: parameters[index], elements: elements,
            place: start + elements.lowerBound..<start + elements.upperBound))
      }
      ownCount += group.plan.share.count
    }
    for parameter in parameters { draw(parameter, seed: seed, team: device.team) }
  }

  /// The part of each parameter that `rank` of the world updates, in the order of declaration; parts
  /// of all ranks together are all parameters, every element once.
  public func parts(ofRank rank: Int) -> [SlicePart] {
    let (position, learns) = learners.place(of: rank)
    var parts: [ObjectIdentifier: SlicePart] = [:]
    for group in groups {
      let plan = FlatPlan(group.parameters, at: position)
      for (index, parameter) in group.parameters.enumerated() {
        parts[ObjectIdentifier(parameter)] = SlicePart(
          of: parameter.shape, slice: plan.slices[index],
          elements: learns ? plan.ownElements[index] : 0..<0)
      }
    }
    return parameters.map { parts[ObjectIdentifier($0)]! }
  }

  private func group(
    _ parameters: [Parameter], replicas: Communicator, bucket: Int, plan: FlatPlan,
    on device: Device
  ) -> ParameterGroup {
    let precision = device.precision
    let values = Storage(bytes: plan.count * precision.bytes)
    let gradients = Storage(bytes: plan.count * precision.bytes)
    for (index, parameter) in parameters.enumerated() {
      let shape = plan.slices[index].map(\.count)
      let offset = plan.offsets[index]
      let own = Storage(
        values, offset: offset * precision.bytes, bytes: shape.reduce(precision.bytes, *))
      parameter.allocate(
        slice: plan.slices[index],
        value: Tensor(shape: TensorShape(shape), precision: precision, storage: own),
        gradient: Tensor(
          shape: TensorShape(shape), precision: precision, storage: gradients, offset: offset),
        on: device)
    }
    return ParameterGroup(
      replicas: replicas, bucket: bucket, parameters: parameters,
      values: Tensor(shape: [plan.count], precision: precision, storage: values),
      gradients: Tensor(shape: [plan.count], precision: precision, storage: gradients), plan: plan)
  }

  private func draw(_ parameter: Parameter, seed: UInt64, team: ThreadTeam) {
    switch parameter.initial {
    case .constant(let value): fill(parameter.value.matrix, value, team: team)
    case .normal(let deviation):
      let key = RandomKey(seed: seed, name: parameter.name)
      // Runs of consecutive rows: all dimensions but the last two are walked.
      let (shape, slice) = (parameter.shape, parameter.slice)
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
