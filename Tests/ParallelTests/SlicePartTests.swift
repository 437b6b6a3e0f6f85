// Parts of slices against an enumeration of every element.

import Parallel
import Testing

@Suite struct SlicePartTests {
  static let slices: [(shape: [Int], slice: [Range<Int>])] = [
    ([], []), ([7], [0..<7]), ([7], [2..<5]), ([4, 6], [0..<4, 0..<6]), ([4, 6], [1..<3, 0..<6]),
    ([4, 6], [0..<4, 2..<3]), ([3, 4, 5], [1..<2, 0..<4, 0..<5]),
    ([3, 4, 5], [0..<3, 1..<3, 0..<5]),
    ([3, 4, 5], [1..<3, 0..<4, 3..<5]), ([3, 4, 5], [0..<2, 1..<4, 1..<4]),
    ([4, 6], [2..<2, 0..<6]),
    ([4, 6], [0..<4, 3..<3]), ([0, 5], [0..<0, 0..<5]),
    ([2, 3, 2, 2], [0..<2, 1..<2, 0..<2, 1..<2]),
  ]

  /// Elements of the whole array in the slice, in order.
  private func enumeration(_ shape: [Int], _ slice: [Range<Int>]) -> [Int] {
    (0..<shape.reduce(1, *)).filter { element in
      var rest = element
      return shape.indices.reversed().allSatisfy { dimension in
        defer { rest /= shape[dimension] }
        return slice[dimension].contains(rest % shape[dimension])
      }
    }
  }

  @Test(arguments: slices.indices)
  func `a part knows where its elements lie in the whole array`(index: Int) {
    let (shape, slice) = Self.slices[index]
    let all = enumeration(shape, slice)
    let count = shape.reduce(1, *)
    #expect(SlicePart(of: shape, slice: slice).count == all.count)
    for first in 0...all.count {
      for last in first...all.count {
        let part = SlicePart(of: shape, slice: slice, elements: first..<last)
        let own = all[first..<last]
        var places: [Int] = []
        part.forEachRun(0..<part.count) { place, whole, count in
          #expect(place == places.count && count > 0)
          places += whole..<whole + count
        }
        #expect(places == Array(own))
        for (lower, upper) in [(0, count), (0, count / 2), (count / 3, count), (2, 2)]
        where lower <= upper && upper <= count {
          let before = own.count { $0 < lower }
          let within = own.count { $0 >= lower && $0 < upper }
          #expect(part.elements(within: lower..<upper) == before..<before + within)
        }
      }
    }
  }
}
