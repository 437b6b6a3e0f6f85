// The test at the start of every parallel run: are gradients summed over the ranks that hold the same?

import Kernels

extension ParameterSet {
  /// Sends one element for each parameter's slice through the group that sums its gradient, and
  /// compares who was summed with who holds the same slice: in the same part of the ranks, where parts
  /// learn different models, whose values then come from a rank with the same slices. Every rank of the
  /// world calls it alike.
  ///
  /// - Throws: `WiringError`, on every rank alike.
  public func checkWiring(over world: Communicator) throws {
    try Wiring(
      groups.map { ($0.replicas, $0.parameters) }, world: world, part: learners.ownPart
    ).check()
    let slices = parameters.map { "\($0.name) \($0.slice)" }.joined(separator: "; ").wiringKey
    let giver = learners.handOn([world.rank])[0]
    let all = world.gather(slices)
    guard let odd = world.gather(giver).enumerated().first(where: { all[$0] != all[$1] }) else {
      return
    }
    throw WiringError(
      text: "rank \(odd.offset) gets values from rank \(odd.element), which holds other slices")
  }
}

/// The groups that sum gradients, under test.
///
/// Each rank gives 2^rank, in float64, ranks in windows of 40, so that a sum tells who took part.
/// Who should is found another way: every rank tells all others which elements of which parameter it
/// holds.
public struct Wiring {
  private static let window = 40

  private let groups: [(replicas: Communicator, parameters: [Parameter])]
  private let parameters: [Parameter]
  private let world: Communicator
  private let part: Int

  /// Parameters that have their memory, each in the group that sums its gradient; `part` is that of the
  /// ranks which this one sums with.
  public init(
    _ groups: [(replicas: Communicator, parameters: [Parameter])], world: Communicator,
    part: Int = 0
  ) {
    self.groups = groups
    self.world = world
    self.part = part
    parameters = groups.flatMap(\.parameters)
  }

  /// - Throws: `WiringError`, on every rank alike: the first parameter that is summed over others
  ///   than the ranks that hold the same slice, with both sets of ranks.
  public func check() throws {
    let holders = try self.holders()
    let summed = self.summed()
    var wrong: [WiringError.Finding] = []
    for (index, parameter) in parameters.enumerated() {
      // Of an empty slice there is nothing to sum.
      guard !parameter.slice.contains(where: \.isEmpty), summed[index] != holders[index] else {
        continue
      }
      wrong.append(
        .init(
          parameter: parameter.name,
          slice: "[\(parameter.slice.map(\.description).joined(separator: ", "))]",
          rank: world.rank,
          summed: summed[index], holders: holders[index]))
    }
    guard world.maximum(wrong.count) > 0 else { return }
    throw WiringError(findings: world.gather(wrong).flatMap { $0 })
  }

  /// The ranks whose element reached this rank, of each parameter.
  private func summed() -> [[Int]] {
    let windows = (world.size + Self.window - 1) / Self.window
    return groups.flatMap { group in
      let count = group.parameters.count
      let elements = UnsafeMutablePointer<Double>.allocate(capacity: max(count * windows, 1))
      defer { elements.deallocate() }
      elements.initialize(repeating: 0, count: count * windows)
      for parameter in 0..<count {
        elements[parameter * windows + world.rank / Self.window] =
          Double(1 << (world.rank % Self.window))
      }
      group.replicas.sum(
        Matrix(elements, rows: 1, columns: count * windows, precision: .float64))
      return (0..<count).map { parameter in
        (0..<windows).flatMap { window in
          let bits = Int(exactly: elements[parameter * windows + window]) ?? 0
          return (0..<Int.bitWidth - 1).filter { bits >> $0 & 1 == 1 }.map {
            window * Self.window + $0
          }
        }
      }
    }
  }

  /// The ranks that hold the same slice as this one, of each parameter.
  private func holders() throws -> [[Int]] {
    let dimensions = parameters.map(\.shape.count).max() ?? 0
    // Key of the name, number of the group, part, first and last element in each dimension.
    let width = 3 + 2 * dimensions
    var own: [Int] = []
    own.reserveCapacity(parameters.count * width)
    for (number, group) in groups.enumerated() {
      for parameter in group.parameters {
        own += [parameter.name.wiringKey, number, part]
        for dimension in 0..<dimensions {
          let range = dimension < parameter.slice.count ? parameter.slice[dimension] : 0..<0
          own += [range.lowerBound, range.upperBound]
        }
      }
    }
    let all = own.withUnsafeBytes { world.gather(Array($0)) }.map { bytes in
      bytes.withUnsafeBytes { Array($0.bindMemory(to: Int.self)) }
    }
    try checkDeclarations(all, width: width)
    return parameters.indices.map { index in
      let entry = index * width..<(index + 1) * width
      return all.indices.filter { all[$0][entry] == own[entry] }
    }
  }

  /// All ranks declare the same parameters in the same groups, or nothing of theirs can be compared.
  private func checkDeclarations(_ all: [[Int]], width: Int) throws {
    let keys = all.map { list in
      stride(from: 0, to: list.count, by: width).map { list[$0..<$0 + 2] }
    }
    guard let odd = keys.indices.first(where: { keys[$0] != keys[0] }) else { return }
    let place = zip(keys[0], keys[odd]).prefix { $0 == $1 }.count
    let own = parameters.indices.contains(place) ? parameters[place].name : "none"
    throw WiringError(
      text: "the ranks declare different parameters; number \(place + 1) is "
        + world.gather(own).enumerated().map { "\($1) on rank \($0)" }.joined(separator: ", "))
  }
}

/// Gradients that are summed over the wrong ranks.
public struct WiringError: AgreedError, CustomStringConvertible {
  struct Finding: Codable {
    let parameter: String
    let slice: String
    let rank: Int
    let summed: [Int]
    let holders: [Int]
  }

  public let description: String

  fileprivate init(text: String) { description = "wiring: \(text)" }

  /// Findings of all ranks, of which there is one at least.
  init(findings: [Finding]) {
    let first = findings[0]
    let count = Set(findings.map(\.parameter)).count
    description = """
      wiring: the gradient of \(first.parameter), slice \(first.slice) of rank \(first.rank), is \
      summed over \(rankList(first.summed)); held by, and to be summed over \
      \(rankList(first.holders)); \(count) parameter\(count == 1 ? " is" : "s are") wired wrong
      """
  }
}

extension String {
  /// FNV-1a: equal names have equal keys.
  fileprivate var wiringKey: Int {
    Int(
      truncatingIfNeeded: utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01b3
      })
  }
}
