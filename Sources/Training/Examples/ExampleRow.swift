// Examples side by side in the rows of a batch: none is cropped, and none sees another.

import Kernels
import Parallel
import Text
import Transformer

/// A row of a batch: whole examples, one after another, and padding behind them.
public struct ExampleRow: Sendable, Equatable {
  public private(set) var examples: [EncodedExample]
  /// Tokens of the examples.
  public private(set) var tokens: Int

  public init(_ examples: [EncodedExample] = []) {
    self.examples = examples
    tokens = examples.reduce(0) { $0 + $1.tokens.count }
  }

  mutating func append(_ example: EncodedExample) {
    examples.append(example)
    tokens += example.tokens.count
  }

  /// Rows of `length` tokens for examples none of which is longer: each goes, in the given order, into
  /// the row with the least room that has room for it (best fit).
  ///
  /// Only the newest `openRows` rows are looked at, so that time grows with the number of examples.
  public static func packed(
    _ examples: [EncodedExample], length: Int, openRows: Int = 64
  ) -> [ExampleRow] {
    var rows: [ExampleRow] = []
    for example in examples {
      require(
        example.tokens.count <= length, "\(example.tokens.count) tokens in rows of \(length)")
      let fitting = rows.indices.suffix(openRows).filter {
        rows[$0].tokens + example.tokens.count <= length
      }
      if let best = fitting.max(by: { rows[$0].tokens < rows[$1].tokens }) {
        rows[best].append(example)
      } else {
        rows.append(ExampleRow([example]))
      }
    }
    return rows
  }
}

extension [Int] {
  /// Few rows for examples of these lengths in their order: as many as rows of `length` tokens would be (of
  /// the longest example, where that is more), and then as short as they can be.
  package func inRows(of length: Int) -> [Range<Int>] {
    func rows(_ length: Int) -> [Range<Int>] {
      var rows: [Range<Int>] = []
      var used = 0
      for (index, own) in enumerated() {
        if !rows.isEmpty && used + own <= length {
          rows[rows.count - 1] = rows[rows.count - 1].lowerBound..<index + 1
          used += own
        } else {
          rows.append(index..<index + 1)
          used = own
        }
      }
      return rows
    }
    let longest = self.max() ?? 0
    let most = Swift.max(length, longest)
    let count = rows(most).count
    let total = reduce(0, +)
    var least = Swift.max(longest, (total + count - 1) / Swift.max(count, 1))
    while least < most && rows(least).count > count { least += 1 }
    return rows(least)
  }
}

extension Sequence where Element == ExampleRow {
  /// The rows as one batch of `length` tokens each, with the next token as label where it is learned.
  public func microBatch(length: Int, padding: Int32) -> MicroBatch {
    let rows = Array(self)
    let batch = Batch(
      rows: rows.map { $0.examples.map { $0.tokens[...] } }, length: length, padding: padding)
    let labels = rows.flatMap { row in
      row.examples.flatMap(\.labels) + Array(repeating: -100, count: length - row.tokens)
    }
    return MicroBatch(batch, labels: labels)
  }
}

extension Batch {
  /// Rows of `length` tokens, in each some sequences side by side and padding behind them.
  ///
  /// A token sees its own sequence alone, at places that are counted from the sequence's start.
  package init(rows: [[ArraySlice<Int32>]], length: Int, padding: Int32) {
    let count = rows.count * length
    var tokens = [Int32](repeating: padding, count: count)
    var positions = [Int32](repeating: 0, count: count)
    var firstKey = positions
    var mask = [Bool](repeating: false, count: count)
    for (index, row) in rows.enumerated() {
      let start = index * length
      var first = start
      func place(_ count: Int) {
        for offset in 0..<count {
          positions[first + offset] = Int32(offset)
          firstKey[first + offset] = Int32(first - start)
        }
      }
      for sequence in row {
        require(
          first + sequence.count <= start + length,
          "\(row.map(\.count)) tokens in a row of \(length)")
        place(sequence.count)
        for (offset, token) in sequence.enumerated() {
          tokens[first + offset] = token
          mask[first + offset] = true
        }
        first += sequence.count
      }
      place(start + length - first)
    }
    self.init(tokens: tokens, sequences: rows.count, length: length, mask: mask)
    self.positions = positions
    self.firstKey = firstKey
  }
}

extension EncodedExample {
  /// What each token predicts: the next one where it is learned, else −100.
  public var labels: [Int32] {
    tokens.indices.map { place in
      let next = place + 1
      return next < tokens.count && isLearned[next] ? tokens[next] : -100
    }
  }

  /// The example up to the last token that is learned, the end of the answer: nothing after it is
  /// learned or scored.
  var throughLastAnswer: EncodedExample {
    let count = (isLearned.lastIndex(of: true) ?? -1) + 1
    var result = self
    result.tokens = Array(tokens.prefix(count))
    result.isLearned = Array(isLearned.prefix(count))
    return result
  }
}
