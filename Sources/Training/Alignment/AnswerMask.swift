// Which places of a table of answers, one a row and padded to one length, hold a token.

import Kernels

/// rows × columns places, row after row; per-token values are flat arrays in the same order.
public struct AnswerMask: Sendable, Equatable {
  public let columns: Int
  /// One flag a place.
  public let holdsToken: [Bool]

  public init(_ holdsToken: [Bool], columns: Int) {
    require(
      columns > 0 && holdsToken.count % columns == 0,
      "\(holdsToken.count) places in rows of \(columns)")
    self.columns = columns
    self.holdsToken = holdsToken
  }

  /// Answers that start at the rows' beginnings.
  public init(lengths: [Int], columns: Int) {
    require(lengths.allSatisfy { (0...columns).contains($0) }, "\(lengths) in rows of \(columns)")
    self.init(
      lengths.flatMap { length in (0..<columns).map { $0 < length } }, columns: columns)
  }

  public var rows: Int { holdsToken.count / columns }
  public var tokens: Int { holdsToken.reduce(0) { $0 + ($1 ? 1 : 0) } }
  /// Tokens of each row.
  public var lengths: [Int] {
    (0..<rows).map { row in places(of: row).reduce(0) { $0 + (holdsToken[$1] ? 1 : 0) } }
  }
  /// The place of each row's last token, nil where it has none: where the score belongs, for an
  /// answer that ended its end-of-sequence token.
  public var lastPlaces: [Int?] {
    (0..<rows).map { row in places(of: row).last { holdsToken[$0] } }
  }

  /// The places of a row.
  public func places(of row: Int) -> Range<Int> { row * columns..<(row + 1) * columns }

  /// Σ of each row's values at its tokens.
  public func rowSums(_ values: [Double]) -> [Double] {
    require(values.count == holdsToken.count, "\(values.count) values, \(holdsToken.count) places")
    return (0..<rows).map { row in
      places(of: row).reduce(0) { $0 + (holdsToken[$1] ? values[$1] : 0) }
    }
  }
}
