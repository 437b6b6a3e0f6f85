// Reversing digits: soon learnt from demonstrations, so good for fine-tuning and poor for PPO.

import Kernels

/// `<bos> 3 1 2 1 =` wants `1 2 1 3 <|endoftext|>`.
public struct ReverseTask: DigitTask {
  public static let trainingLengths = 4...8
  /// Never trained on.
  public static let heldOutLengths = 9...10

  public let lengths: ClosedRange<Int>
  public let skill: Double

  /// Lengths from 4 to 10.
  public init(lengths: ClosedRange<Int> = trainingLengths, skill: Double = 1) {
    require(
      lengths.clamped(to: digitLengthLimits) == lengths && (0...1).contains(skill),
      "lengths \(lengths), skill \(skill)")
    self.lengths = lengths
    self.skill = skill
  }

  public var name: String { "reverse" }

  public func solution(of digits: [Int32]) -> [Int32] { digits.reversed() }
}
