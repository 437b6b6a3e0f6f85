// The answers of an iteration as rows of batches, and tables with a number for each of their tokens.

import Kernels
import Parallel
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
  /// Whether several answers lie in a row of a batch.
  private let packing: Bool
  /// Whether batches ask for the outputs alone that are looked at.
  private let asking: Bool
  /// Prompts with their answers.
  private let sequences: [[Int32]]
  private let beginnings: Beginnings
  /// Each answer's rank among all when those that begin alike are neighbours.
  private let order: [Int]

  /// Batches hold several answers in a row and compute equal beginnings once, unless the `routers` that
  /// learn from them want sequences apart; they ask for some outputs, unless those want all tokens.
  init(
    prompts: [[Int32]], answers: [[Int32]], padding: Int32, routers: [RouterConfiguration] = []
  ) {
    require(prompts.count == answers.count, "\(prompts.count) prompts, \(answers.count) answers")
    let sequences = zip(prompts, answers).map { $0 + $1 }
    require(sequences.allSatisfy { !$0.isEmpty }, "an answer without a token, to no prompt")
    self.prompts = prompts
    self.answers = answers
    self.padding = padding
    self.sequences = sequences
    packing = !routers.contains(where: \.balancesSequences)
    asking = !routers.contains(where: \.learnsFromEveryToken)
    beginnings = Beginnings(sequences)
    var order = Array(sequences.indices)
    for (rank, number) in beginnings.order.enumerated() { order[number] = rank }
    self.order = order
    length = sequences.map(\.count).max() ?? 1
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

  /// A data rank's share in parts of `microBatch` answers; where that is 0 one part, shared by work so
  /// that no rank waits long for another. Those that begin alike are neighbours.
  private func parts(
    of rows: [Int], microBatch: Int, over data: Communicator
  ) -> [[Int]] {
    let rows = rows.sorted { order[$0] < order[$1] }
    guard microBatch == 0 else {
      return Array(rows[data.ownShare(of: rows.count)])
        .parts(of: microBatch, dealing: rows.count, over: data).map { Array($0) }
    }
    let work = rows.indices.map { place in
      let own = beginnings.numbers[rows[place]]
      let shared =
        packing && place > 0 ? own.countShared(with: beginnings.numbers[rows[place - 1]]) : 0
      // The last layer computes little but the answer.
      return own.count - shared + answers[rows[place]].count + 1
    }
    let total = work.reduce(0, +)
    var before = 0
    return [
      zip(rows, work).filter { _, work in
        defer { before += work }
        // Where an answer's middle lies.
        return (2 * before + work) * data.size / (2 * total) == data.rank
      }.map(\.0)
    ]
  }

  private func batch(_ numbers: [Int], scoring: Bool) -> AnswerBatch {
    let lengths = numbers.map { sequences[$0].count - (scoring || answers[$0].isEmpty ? 0 : 1) }
    let rows =
      packing ? lengths.inRows(of: Self.rowLength) : lengths.indices.map { $0..<$0 + 1 }
    let length = max(rows.map { lengths[$0].reduce(0, +) }.max() ?? 1, 1)
    var batch = Batch(
      rows: rows.map { zip(numbers[$0], lengths[$0]).map { sequences[$0].prefix($1) } },
      length: length, padding: padding)
    var kinds = [Int32](repeating: -1, count: batch.tokens.count)
    var homes = [Int](repeating: -1, count: batch.tokens.count)
    var outputs = Outputs()
    for (index, row) in rows.enumerated() {
      var first = index * length
      for (number, own) in zip(numbers[row], lengths[row]) {
        let beginning = beginnings.numbers[number]
        let home = number * self.length
        for offset in 0..<own {
          kinds[first + offset] = beginning[offset]
          homes[first + offset] = home + offset
        }
        if scoring {
          outputs.add(token: first + own - 1, place: -1, label: -100)
        } else {
          // What predicts the answer's first token may be missing: there may be no prompt.
          let before = first + prompts[number].count - 1
          for (place, token) in answers[number].enumerated() where before + place >= first {
            outputs.add(
              token: before + place, place: number * mask.columns + place, label: token)
          }
        }
        first += own
      }
    }
    if packing { batch.shared = SharedTokens(kinds: kinds, kindCount: beginnings.count) }
    if scoring || asking {
      batch.asked = outputs.tokens
    } else {
      outputs = outputs.spread(over: batch.tokens.count)
    }
    return AnswerBatch(
      rows: numbers, micro: MicroBatch(batch, labels: outputs.labels), places: outputs.places,
      homes: homes)
  }

  /// Tokens whose outputs are looked at, the answers' tokens that they predict, and these tokens' places.
  private struct Outputs {
    var tokens: [Int] = []
    var places: [Int] = []
    var labels: [Int32] = []

    mutating func add(token: Int, place: Int, label: Int32) {
      tokens.append(token)
      places.append(place)
      labels.append(label)
    }

    /// The same of all tokens, most of which predict none.
    func spread(over count: Int) -> Outputs {
      var all = Outputs()
      all.places = Array(repeating: -1, count: count)
      all.labels = Array(repeating: -100, count: count)
      for (index, token) in tokens.enumerated() {
        (all.places[token], all.labels[token]) = (places[index], labels[index])
      }
      return all
    }
  }

  /// Tokens of a row of several answers, about: long enough that little is left free, short
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

  /// The same with expert choices of each token, [layers][all answers · length · k]. Tokens share rows only
  /// where all have the same experts: those were chosen in other batches.
  func replaying(_ choices: [[Int32]], perToken k: Int) -> AnswerBatch {
    var batch = micro.batch
    batch.expertChoices = choices.map { layer in
      homes.flatMap { home in
        home < 0 ? Array(0..<Int32(k)) : Array(layer[home * k..<(home + 1) * k])
      }
    }
    if let shared = batch.shared, !shared.agree(batch.expertChoices!, perToken: k) {
      batch.shared = nil
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
