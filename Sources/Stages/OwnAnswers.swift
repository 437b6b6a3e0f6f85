// The answers of a batch that this rank evaluates whole, though their tokens may lie on several ranks.

import Tensors
import Training
import Transformer

/// Log-probabilities of whole answers [rows · columns, 1], of those rows whose terms this rank adds.
struct OwnAnswers {
  let numbers: Variable
  /// Their numbers among the rollout's.
  let rows: [Int]
  let mask: AnswerMask

  init(_ pass: PolicyPass, _ batch: AnswerBatch, _ whole: AnswerMask, model: LanguageModel) {
    let columns = whole.columns
    let indices = Dictionary(uniqueKeysWithValues: zip(batch.rows, batch.rows.indices))
    // Places in a table of the batch's own answers.
    let places = pass.places.map { place in
      place < 0 ? -1 : indices[place / columns]! * columns + place % columns
    }
    let table = model.table(
      pass.logProbabilities, at: places, count: batch.rows.count * columns)
    let own = model.ownItems(of: batch.rows.count)
    numbers = select(table, rows: own.flatMap { $0 * columns..<($0 + 1) * columns }.map(Int32.init))
    rows = own.map { batch.rows[$0] }
    mask = AnswerMask(rows.flatMap { whole.holdsToken[whole.places(of: $0)] }, columns: columns)
  }

  /// Of a whole table, these rows.
  func of(_ table: [Double]) -> [Double] {
    rows.flatMap { table[$0 * mask.columns..<($0 + 1) * mask.columns] }
  }
}
