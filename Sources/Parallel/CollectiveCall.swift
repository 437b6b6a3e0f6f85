// What a rank comes for when it meets others: which collective, on what, from which line.

import Kernels

/// The collectives that are told apart.
public enum Collective: UInt8, CaseIterable, Sendable {
  case barrier, split, sum, maximum, reduceScatter, allGather, exchange, values

  /// `reduceScatter`
  public var name: String { "\(self)" }
}

/// A place in the source.
public struct CallSite: Sendable, CustomStringConvertible {
  let file: StaticString
  let line: UInt32

  /// `Parallel/Gradients.swift:23`
  public var description: String { "\(file):\(line)" }
}

/// One collective of a group, as one rank meets it.
struct CollectiveCall {
  let collective: Collective
  /// Which collective of the group it is, from 1.
  let sequence: Int
  /// That this rank sends.
  let bytes: Int
  let site: CallSite
}

/// What the ranks of a group must bring alike to one collective.
struct CollectiveTerms {
  enum Element: UInt8 { case none, byte, whole, float32, float64 }

  static let nothing = CollectiveTerms(.none)

  var element: Element
  /// Nil where each rank has its own.
  var count: Int?
  /// How the count is cut over ranks: whatever else must be equal.
  var cut: [Int]

  init(_ element: Element, count: Int? = nil, cut: [Int] = []) {
    self.element = element
    self.count = count
    self.cut = cut
  }
}

extension CollectiveTerms {
  init(_ array: Matrix, cut: [Int] = []) {
    self.init(array.precision == .float32 ? .float32 : .float64, count: array.count, cut: cut)
  }
}

extension CollectiveTerms.Element {
  init<Value>(of type: Value.Type) {
    self = type == Int.self ? .whole : type == Double.self ? .float64 : .byte
  }
}
