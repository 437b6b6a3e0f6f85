// The random numbers of one item: a prompt, an answer, a candidate.

import Kernels

/// Draws one after another under a key of its own. The item starts it and ends with it, so what is
/// drawn never depends on other items.
struct KeyedDraws {
  private let key: RandomKey
  private var drawn: UInt64 = 0

  init(_ key: RandomKey) { self.key = key }

  mutating func integer(below bound: Int) -> Int {
    defer { drawn += 1 }
    return uniformInteger(key, counter: drawn, below: bound)
  }

  mutating func isTrue(probability: Double) -> Bool {
    defer { drawn += 1 }
    return uniform(key, counter: drawn) < probability
  }

  mutating func element<Element>(of list: [Element]) -> Element {
    list[integer(below: list.count)]
  }

  mutating func integer(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + integer(below: range.count)
  }

  /// Different elements of a list, in random order.
  mutating func elements<Element>(_ count: Int, of list: [Element]) -> [Element] {
    var left = list
    return (0..<count).map { _ in left.remove(at: integer(below: left.count)) }
  }
}
