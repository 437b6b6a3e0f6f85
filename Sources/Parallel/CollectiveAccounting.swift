// What a communicator's collectives cost: calls, bytes, seconds.

/// Calls of one collective on one communicator, as this rank saw them.
public struct CollectiveCount: Sendable, Equatable, Codable {
  public var calls: Int
  /// Bytes that this rank sent to others.
  public var bytes: Int
  /// Seconds from call to return, waiting for the others included.
  public var seconds: Double

  public init(calls: Int = 0, bytes: Int = 0, seconds: Double = 0) {
    self.calls = calls
    self.bytes = bytes
    self.seconds = seconds
  }

  public static func - (a: Self, b: Self) -> Self {
    Self(calls: a.calls - b.calls, bytes: a.bytes - b.bytes, seconds: a.seconds - b.seconds)
  }

  public static func + (a: Self, b: Self) -> Self {
    Self(calls: a.calls + b.calls, bytes: a.bytes + b.bytes, seconds: a.seconds + b.seconds)
  }
}

/// All counts of one communicator since it was made; subtract two to get a step's.
public struct CollectiveAccounting: Sendable, Equatable {
  private var counts = [CollectiveCount](
    repeating: CollectiveCount(), count: Collective.allCases.count)

  public init() {}

  public subscript(_ collective: Collective) -> CollectiveCount {
    get { counts[Int(collective.rawValue)] }
    set { counts[Int(collective.rawValue)] = newValue }
  }

  public var total: CollectiveCount { counts.reduce(CollectiveCount(), +) }

  public static func - (a: Self, b: Self) -> Self {
    var difference = a
    for collective in Collective.allCases {
      difference[collective] = a[collective] - b[collective]
    }
    return difference
  }
}
