// Where consecutive elements of a rank's slice lie in the whole array: arithmetic alone.

import Kernels

/// Consecutive elements of an array's slice, as they lie in a rank's memory.
///
/// Elements of the whole array are counted row-major; so are those of the slice. The one order
/// follows the other, so what a part has of any stretch of the whole array is one stretch of it.
public struct SlicePart: Sendable {
  /// Shape of the whole array.
  public let shape: [Int]
  /// Which of the slice's elements these are.
  public let elements: Range<Int>
  /// Dimensions before the last one that is cut.
  private let outer: [(first: Int, count: Int, stride: Int)]
  /// The slice's stretches of consecutive elements of the whole array: how many, of what length.
  private let runs: Int
  private let run: Int
  /// Where the first stretch begins, the outer dimensions' beginnings left out.
  private let start: Int

  /// `elements` of the slice, or all of it.
  public init(of shape: [Int], slice: [Range<Int>], elements: Range<Int>? = nil) {
    require(shape.count == slice.count, "a slice \(slice) of shape \(shape)")
    self.shape = shape
    var strides = [Int](repeating: 1, count: shape.count)
    for dimension in shape.indices.dropLast().reversed() {
      strides[dimension] = strides[dimension + 1] * shape[dimension + 1]
    }
    let cut = shape.indices.last { slice[$0] != 0..<shape[$0] } ?? 0
    outer = (0..<cut).map { (slice[$0].lowerBound, slice[$0].count, strides[$0]) }
    runs = outer.reduce(1) { $0 * $1.count }
    run = shape.isEmpty ? 1 : slice[cut].count * strides[cut]
    start = shape.isEmpty ? 0 : slice[cut].lowerBound * strides[cut]
    self.elements = elements ?? 0..<runs * run
    require(
      self.elements.upperBound <= runs * run, "\(self.elements) of \(runs * run) elements")
  }

  public var count: Int { elements.count }

  /// What of this part lies in `whole`, a stretch of the whole array; counted from the part's first.
  public func elements(within whole: Range<Int>) -> Range<Int> {
    func place(_ element: Int) -> Int {
      min(max(sliceElements(before: element), elements.lowerBound), elements.upperBound)
        - elements.lowerBound
    }
    return place(whole.lowerBound)..<place(whole.upperBound)
  }

  /// Calls `body` with each stretch of consecutive elements of the whole array among `own`, which is
  /// counted from the part's first: where it begins here, where in the whole array, how long it is.
  public func forEachRun(
    _ own: Range<Int>, _ body: (_ own: Int, _ whole: Int, _ count: Int) throws -> Void
  ) rethrows {
    require(own.upperBound <= count, "\(own) of a part of \(count)")
    var next = own.lowerBound
    while next < own.upperBound {
      let (row, column) = (elements.lowerBound + next).quotientAndRemainder(dividingBy: run)
      let length = Swift.min(run - column, own.upperBound - next)
      try body(next, beginning(ofRun: row) + column, length)
      next += length
    }
  }

  private func beginning(ofRun row: Int) -> Int {
    var rest = row
    var place = start
    for dimension in outer.reversed() {
      place += (dimension.first + rest % dimension.count) * dimension.stride
      rest /= dimension.count
    }
    return place
  }

  /// How many of the slice's elements come before this one of the whole array.
  private func sliceElements(before whole: Int) -> Int {
    guard runs * run > 0 else { return 0 }
    // The first stretch that does not end before it.
    var low = 0
    var high = runs
    while low < high {
      let middle = (low + high) / 2
      if beginning(ofRun: middle) + run <= whole { low = middle + 1 } else { high = middle }
    }
    return low == runs ? runs * run : low * run + max(0, whole - beginning(ofRun: low))
  }
}
