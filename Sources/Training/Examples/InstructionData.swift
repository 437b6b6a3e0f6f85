// From a file of instructions to batches: packed rows, keyed by seed and step, dealt over data ranks.

import Parallel
import Text
import Transformer

/// A run's instructions: tokenizer, rows of each step, rows to evaluate.
///
/// Left out: texts without answers, which `TextData` reads.
public final class InstructionData {
  public let tokenizer: Tokenizer
  public let template: ChatTemplate
  public let training: EncodedFile<EncodedExample>
  public let evaluation: EncodedFile<EncodedExample>?
  private let order: ShuffledEpochs
  private let length: Int
  private let batch: Int
  private let microBatch: Int
  /// The rows of one epoch: every rank computes all of them, the same way.
  private var epoch: (number: Int, firstRow: Int, rows: [ExampleRow])

  /// Reads and encodes the files. Throws `RanksFailed` on all ranks.
  public init(_ configuration: RunConfiguration, over world: Communicator) throws {
    let length = configuration.data.sequenceLength
    (tokenizer, template, training, evaluation) = try world.agreeing {
      let tokenizer = try configuration.readTokenizer()
      let template = try configuration.template(tokenizer)
      let settings = configuration.examples
      func encoded(_ path: String) throws -> EncodedFile<EncodedExample> {
        try EncodedFile(
          ExampleFile(instructions: path, badLines: settings.badLines), badLines: settings.badLines
        ) { example, place in
          let encoded: EncodedExample
          do { encoded = try template.encode(example) } catch let error as TextError {
            throw TextError(place, "\(error)")
          }
          return try encoded.checked(place, length: length)
        }
      }
      return (
        tokenizer, template, try encoded(settings.training),
        try settings.evaluation.isEmpty ? nil : encoded(settings.evaluation)
      )
    }
    self.length = length
    batch = configuration.training.batch
    microBatch = configuration.training.microBatch
    order = ShuffledEpochs(
      count: training.elements.count, seed: UInt64(configuration.run.seed))
    epoch = (0, 0, [])
    epoch.rows = rows(ofEpoch: 0)
  }

  /// Of every token that is learned from, and which of them are learned.
  public var fingerprint: String {
    let digest = Digest()
    for example in training.elements { example.add(to: digest) }
    return digest.finish()
  }

  private func rows(ofEpoch number: Int) -> [ExampleRow] {
    ExampleRow.packed(
      order.order(ofEpoch: number).map { training.elements[$0] }, length: length)
  }

  /// Row `number` of all epochs' rows, one epoch's after another's.
  private func row(_ number: Int) -> ExampleRow {
    if number < epoch.firstRow { epoch = (0, 0, rows(ofEpoch: 0)) }
    while number >= epoch.firstRow + epoch.rows.count {
      let next = epoch.number + 1
      epoch = (next, epoch.firstRow + epoch.rows.count, rows(ofEpoch: next))
    }
    return epoch.rows[number - epoch.firstRow]
  }

  /// This rank's share of the rows of a step (from 0), in micro-batches; as many on every rank.
  public func microBatches(step: Int, over data: Communicator) -> [MicroBatch] {
    let own = data.ownShare(of: batch).map { row(step * batch + $0) }
    return own.parts(of: microBatch, dealing: batch, over: data).map {
      $0.microBatch(length: length, padding: template.padding)
    }
  }

  /// This data rank's share of the rows to evaluate, eight at a time; none where there is no file.
  public func evaluationBatches(over data: Communicator) -> [MicroBatch] {
    guard let evaluation else { return [] }
    let rows = ExampleRow.packed(evaluation.elements, length: length)
    return Array(rows[data.ownShare(of: rows.count)])
      .parts(of: 8, dealing: rows.count, over: data).map {
        $0.microBatch(length: length, padding: template.padding)
      }
  }

  /// What is read, in lines for the user.
  public var introduction: [String] {
    let share =
      Double(training.elements.reduce(0) { $0 + $1.tokens.count })
      / Double(max(epoch.rows.count, 1) * length)
    return [
      training.introduction("training", "examples")
        + ", packed to \(Figure.percent(share)) of rows of \(length)"
    ] + (evaluation.map { [$0.introduction("evaluation", "examples")] } ?? [])
  }
}

extension EncodedExample {
  func add(to digest: Digest) {
    tokens.withUnsafeBytes { digest.update($0) }
    digest.update(isLearned.map { $0 ? 1 : 0 } + [2])
  }
}
