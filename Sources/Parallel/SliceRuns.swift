// Where the elements of a slice stand in the whole array: runs that are consecutive in both.

import Kernels

/// A slice of a row-major array as runs of elements that lie together in the slice and in the whole.
public struct SliceRuns: Sequence {
  /// `count` elements, from `own` on in the slice and from `whole` on in the whole array.
  public struct Run: Equatable, Sendable {
    public let whole: Int
    public let own: Int
    public let count: Int
  }

  private let outer: [(range: Range<Int>, size: Int)]
  private let first: Int
  private let run: Int
  private let stride: Int
  private let runs: Int

  public init(_ slice: [Range<Int>], of shape: [Int]) {
    require(slice.count == shape.count, "slice \(slice) of \(shape)")
    // Dimensions from the back that are whole belong to one run, with the one before them.
    var inner = shape.count
    var size = 1
    while inner > 0 && slice[inner - 1] == 0..<shape[inner - 1] {
      inner -= 1
      size *= shape[inner]
    }
    if inner > 0 {
      inner -= 1
      first = slice[inner].lowerBound * size
      run = slice[inner].count * size
      stride = shape[inner] * size
    } else {
      first = 0
      run = size
      stride = size
    }
    outer = (0..<inner).map { (slice[$0], shape[$0]) }
    runs = run == 0 ? 0 : outer.reduce(1) { $0 * $1.range.count }
  }

  public func makeIterator() -> AnyIterator<Run> {
    var index = 0
    return AnyIterator {
      guard index < runs else { return nil }
      defer { index += 1 }
      var rest = index
      var place = 0
      var weight = 1
      for (range, size) in outer.reversed() {
        place += (range.lowerBound + rest % range.count) * weight
        rest /= range.count
        weight *= size
      }
      return Run(whole: place * stride + first, own: index * run, count: run)
    }
  }
}
