// The answers of an iteration as rows of batches, and tables with a number for each of their tokens.

import Kernels
import Parallel
import Text
import Training
import Transformer

/// Prompts with their answers, the same list on every rank.
struct AnswerRows {
  let prompts: [[Int32]]
  let answers: [[Int32]]
  /// Which places of a table of answers hold a token.
  let mask: AnswerMask
  /// Most tokens of a prompt with its answer.
  let length: Int
  private let padding: Int32
  private let packing: Bool
  /// Of prompts with their answers, where batches share rows.
  private let beginnings: Beginnings?
  /// Each answer's place among all when those that begin alike are neighbours.
  private let places: [Int]

  /// Several answers lie in a row, batches ask for the outputs alone that are looked at, and equal beginnings
  /// are computed once, unless the `routers` that learn from them want sequences apart, or all tokens.
  init(
    prompts: [[Int32]], answers: [[Int32]], padding: Int32, routers: [RouterConfiguration] = []
  ) {
    require(prompts.count == answers.count, "\(prompts.count) prompts, \(answers.count) answers")
    self.prompts = prompts
    self.answers = answers
    self.padding = padding
    packing = !routers.contains(where: \.balancesSequences)
    let whole = zip(prompts, answers).map { $0 + $1 }
    beginnings = routers.contains(where: \.learnsFromEveryToken) ? nil : Beginnings(whole)
    var places = Array(whole.indices)
    for (place, number) in whole.indices.sorted(by: {
      whole[$0].lexicographicallyPrecedes(whole[$1])
    }).enumerated() { places[number] = place }
    self.places = places
    length = zip(prompts, answers).map { $0.count + $1.count }.max() ?? 1
    mask = AnswerMask(
      lengths: answers.map(\.count), columns: max(answers.map(\.count).max() ?? 1, 1))
  }

  var count: Int { answers.count }

  /// Tokens of the answers of some rows.
  func tokens(of rows: some Sequence<Int>) -> Int { rows.reduce(0) { $0 + answers[$1].count } }

  /// A data rank's share of some answers, in batches; as many on every rank. They ask for what predicts
  /// the answers' tokens; the last of those is left out.
  func batches(
    of rows: [Int], microBatch: Int, over data: Communicator
  ) -> [AnswerBatch] {
    parts(of: rows, microBatch: microBatch, over: data).map { batch($0, scoring: false) }
  }

  /// The same of whole answers, asking for their last tokens.
  func scoredBatches(
    of rows: [Int], microBatch: Int, over data: Communicator
  ) -> [AnswerBatch] {
    parts(of: rows, microBatch: microBatch, over: data).map { batch($0, scoring: true) }
  }

  /// A data rank's share in parts of `microBatch` answers; where that is 0 one part, shared by tokens so
  /// that no rank waits long for another.
  private func parts(
    of rows: [Int], microBatch: Int, over data: Communicator
  ) -> [[Int]] {
    let rows = beginnings == nil ? rows : rows.sorted { places[$0] < places[$1] }
    guard microBatch == 0 else {
      return Array(rows[data.ownShare(of: rows.count)])
        .parts(of: microBatch, dealing: rows.count, over: data).map { Array($0) }
    }
    let lengths = rows.map { prompts[$0].count + answers[$0].count }
    require(lengths.allSatisfy { $0 > 0 }, "an answer without a token, to no prompt")
    let total = lengths.reduce(0, +)
    var before = 0
    return [
      zip(rows, lengths).filter { _, length in
        defer { before += length }
        // Where an answer's middle lies.
        return (2 * before + length) * data.size / (2 * total) == data.rank
      }.map(\.0)
    ]
  }

  private func batch(_ numbers: [Int], scoring: Bool) -> AnswerBatch {
    let examples = numbers.map { number in
      let answer = answers[number]
      return EncodedExample(
        prompt: prompts[number], answer: scoring ? answer : Array(answer.dropLast()))
    }
    let rows =
      packing
      ? ExampleRow.inOrder(examples, length: Self.rowLength) : examples.map { ExampleRow([$0]) }
    let length = max(rows.map(\.tokens).max() ?? 1, 1)
    var batch = rows.microBatch(length: length, padding: padding).batch
    var homes = [Int](repeating: -1, count: batch.tokens.count)
    var predicted = homes
    var kinds = [Int32](repeating: -1, count: homes.count)
    var lastTokens: [Int] = []
    var next = 0
    for (index, row) in rows.enumerated() {
      var first = index * length
      for example in row.examples {
        let number = numbers[next]
        next += 1
        let prompt = prompts[number].count
        for offset in example.tokens.indices {
          homes[first + offset] = number * self.length + offset
          if let beginnings { kinds[first + offset] = beginnings.numbers[number][offset] }
          let token = offset + 1 - prompt
          guard answers[number].indices.contains(token) else { continue }
          predicted[first + offset] = number * mask.columns + token
        }
        first += example.tokens.count
        lastTokens.append(first - 1)
      }
    }
    if let beginnings {
      batch.shared = SharedTokens(kinds: kinds, kindCount: beginnings.count)
    }
    if scoring {
      batch.asked = lastTokens
    } else if beginnings != nil {
      batch.asked = predicted.indices.filter { predicted[$0] >= 0 }
    }
    let places = batch.asked.map { $0.map { predicted[$0] } } ?? predicted
    let labels = places.map {
      $0 < 0 ? -100 : answers[$0 / mask.columns][$0 % mask.columns]
    }
    return AnswerBatch(
      rows: numbers, micro: MicroBatch(batch, labels: labels), places: places, homes: homes)
  }

  /// Tokens of rows that several answers share, about: long enough that little is left free, short
  /// enough that attention looks at few rows' keys at a time.
  private static let rowLength = 256
}

/// Answers of one forward pass.
struct AnswerBatch {
  /// Their numbers among all.
  let rows: [Int]
  let micro: MicroBatch
  /// The table's place of the token that each token asked for predicts, −1 where it predicts no
  /// answer's.
  let places: [Int]
  /// Where each token stands in a table of `AnswerRows.length` tokens an answer, −1 for padding.
  let homes: [Int]

  /// The same with expert choices of each token, [layers][all answers · length · k].
  func replaying(_ choices: [[Int32]], perToken k: Int) -> AnswerBatch {
    var batch = micro.batch
    batch.expertChoices = choices.map { layer in
      homes.flatMap { home in
        home < 0 ? Array(0..<Int32(k)) : Array(layer[home * k..<(home + 1) * k])
      }
    }
    return AnswerBatch(
      rows: rows, micro: MicroBatch(batch, labels: micro.labels), places: places, homes: homes)
  }
}

/// Numbers that ranks fill in parts, each number on one rank: their sum is the whole, exactly.
struct SharedTable {
  private(set) var columns: [[Double]]

  init(columns: Int, count: Int) {
    self.columns = Array(repeating: Array(repeating: 0, count: count), count: columns)
  }

  /// Sets the numbers at `places`, of which −1 is none.
  mutating func set(_ column: Int, _ values: [Double], at places: some Sequence<Int>) {
    for (value, place) in zip(values, places) where place >= 0 { columns[column][place] = value }
  }

  /// The whole table, on every rank.
  func summed(over world: Communicator) -> [[Double]] {
    let count = columns.first?.count ?? 0
    let all = world.sum(columns.flatMap { $0 })
    return columns.indices.map { Array(all[$0 * count..<($0 + 1) * count]) }
  }
}
