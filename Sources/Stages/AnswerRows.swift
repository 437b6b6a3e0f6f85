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
  /// Tokens of every row, whatever minibatch it is in.
  let length: Int
  private let padding: Int32

  init(prompts: [[Int32]], answers: [[Int32]], padding: Int32) {
    require(prompts.count == answers.count, "\(prompts.count) prompts, \(answers.count) answers")
    self.prompts = prompts
    self.answers = answers
    self.padding = padding
    length = zip(prompts, answers).map { $0.count + $1.count }.max() ?? 1
    mask = AnswerMask(
      lengths: answers.map(\.count), columns: max(answers.map(\.count).max() ?? 1, 1))
  }

  var count: Int { answers.count }

  /// Tokens of the answers of some rows.
  func tokens(of rows: some Sequence<Int>) -> Int { rows.reduce(0) { $0 + answers[$1].count } }

  /// A data rank's share of some rows, in batches; as many on every rank.
  func batches(
    of rows: [Int], microBatch: Int, over data: Communicator
  ) -> [AnswerBatch] {
    Array(rows[data.ownShare(of: rows.count)])
      .parts(of: microBatch, dealing: rows.count, over: data).map { batch(Array($0)) }
  }

  private func batch(_ rows: [Int]) -> AnswerBatch {
    var places = [Int](repeating: -1, count: rows.count * length)
    let examples = rows.enumerated().map { index, row in
      let prompt = prompts[row].count
      for token in answers[row].indices {
        places[index * length + prompt + token - 1] = row * mask.columns + token
      }
      return ExampleRow([EncodedExample(prompt: prompts[row], answer: answers[row])])
    }
    return AnswerBatch(
      rows: rows, micro: examples.microBatch(length: length, padding: padding), places: places,
      lastPlaces: rows.map { prompts[$0].count + answers[$0].count - 1 })
  }
}

/// Rows of one forward pass.
struct AnswerBatch {
  let rows: [Int]
  let micro: MicroBatch
  /// The table's place of the token that each position predicts, −1 where it predicts no answer's.
  let places: [Int]
  /// Where each row's last token is, counted from the row's start.
  let lastPlaces: [Int]

  /// The same rows with expert choices of each token, [layers][all rows · length · k].
  func replaying(_ choices: [[Int32]], perRow: Int) -> AnswerBatch {
    var batch = micro.batch
    batch.expertChoices = choices.map { layer in
      rows.flatMap { layer[$0 * perRow..<($0 + 1) * perRow] }
    }
    return AnswerBatch(
      rows: rows, micro: MicroBatch(batch, labels: micro.labels), places: places,
      lastPlaces: lastPlaces)
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
