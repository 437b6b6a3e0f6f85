// Which example comes when: every one once an epoch, in another order each time.

/// The order in which a list of examples is gone through: a function of seed and place alone.
public struct ShuffledEpochs: Sendable {
  /// Examples of one epoch.
  public let count: Int
  private let seed: UInt64

  public init(count: Int, seed: UInt64) {
    check(count > 0, "epochs of \(count) examples")
    self.count = count
    self.seed = seed
  }

  /// The examples of an epoch (from 0), in their order.
  public func order(ofEpoch epoch: Int) -> [Int] {
    let permutation = permutation(ofEpoch: epoch)
    return (0..<count).map { permutation[$0] }
  }

  /// The examples of one step (from 0): sample i of step s is number s · batch + i, as in
  /// `TrainingSampler`.
  public func samples(step: Int, batch: Int) -> [Int] {
    (step * batch..<(step + 1) * batch).map {
      permutation(ofEpoch: $0 / count)[$0 % count]
    }
  }

  private func permutation(ofEpoch epoch: Int) -> Permutation {
    Permutation(of: count, key: randomWord(seed, UInt64(epoch)))
  }
}
