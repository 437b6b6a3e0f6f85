// Which windows of the text a step learns from: a function of seed and step alone.

/// Draws windows of sequenceLength + 1 tokens (inputs, and one token on as labels).
///
/// An epoch goes through windows that meet end to end, each label once, in shuffled order. Its cuts
/// are moved by a random number of tokens, so that windows differ from epoch to epoch; fewer than
/// two windows' labels at the ends are left out of an epoch. Sample i of step s is number
/// s · batch + i, whoever asks, in whatever order.
public struct TrainingSampler: Sendable {
  public let sequenceLength: Int
  /// Windows of one epoch.
  public let windows: Int
  /// Labels that one epoch's windows leave over, and so the range of the move.
  private let slack: Int
  private let seed: UInt64

  /// Throws if the part is shorter than one window.
  public init(_ part: CorpusPart, sequenceLength: Int, seed: UInt64) throws {
    try self.init(count: part.count, sequenceLength: sequenceLength, seed: seed, name: part.name)
  }

  /// For `count` tokens that are called `name` in errors.
  public init(count: Int, sequenceLength: Int, seed: UInt64, name: String) throws {
    guard count > sequenceLength, sequenceLength > 0 else {
      throw TextError(
        name,
        "\(count) tokens are too few for a sequence of \(sequenceLength); accepted: "
          + "\(sequenceLength + 1) or more tokens, or a shorter data.sequenceLength")
    }
    self.sequenceLength = sequenceLength
    self.seed = seed
    let labels = count - 1
    // One window less than fit, so that the cuts can move by a whole window.
    windows = max(1, labels / sequenceLength - 1)
    slack = labels - windows * sequenceLength
  }

  /// Where the windows of one step (from 0) start.
  public func samples(step: Int, batch: Int) -> [Int] {
    (0..<batch).map { start(of: step * batch + $0) }
  }

  private func start(of sample: Int) -> Int {
    let epoch = UInt64(sample / windows)
    let key = randomWord(seed, epoch)
    let shift = randomIndex(below: slack + 1, randomWord(key, 0))
    let order = Permutation(of: windows, key: randomWord(key, 1))
    return shift + order[sample % windows] * sequenceLength
  }
}
