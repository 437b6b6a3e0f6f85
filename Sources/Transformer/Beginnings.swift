// Which sequences begin alike.

/// The beginnings of some sequences, numbered: sequences have the same number at a place if they are
/// equal up to it.
public struct Beginnings: Sendable {
  /// By sequence and place.
  public private(set) var numbers: [[Int32]]
  public private(set) var count = 0
  /// The sequences in an order in which those that begin alike are neighbours, rising token by token.
  public let order: [Int]

  public init(_ sequences: [[Int32]]) {
    numbers = sequences.map { _ in [] }
    order = sequences.indices.sorted { one, other in
      let shared = sequences[one].countShared(with: sequences[other])
      // Equal ones stay in their order; of two the shorter comes first.
      if shared == sequences[other].count { return shared == sequences[one].count && one < other }
      return shared == sequences[one].count || sequences[one][shared] < sequences[other][shared]
    }
    var before: Int?
    for index in order {
      // What sequences share, neighbours in this order do.
      let shared = before.map { sequences[$0].countShared(with: sequences[index]) } ?? 0
      let length = sequences[index].count
      var own = before.map { Array(numbers[$0].prefix(shared)) } ?? []
      own.reserveCapacity(length)
      for place in shared..<length { own.append(Int32(count + place - shared)) }
      count += length - shared
      numbers[index] = own
      before = index
    }
  }
}

extension [Int32] {
  /// At how many places both begin alike.
  package func countShared(with other: [Int32]) -> Int {
    let most = Swift.min(count, other.count)
    var place = 0
    while place < most && self[place] == other[place] { place += 1 }
    return place
  }
}
