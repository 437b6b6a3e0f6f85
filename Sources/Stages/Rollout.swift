// Answers that a policy writes, and all that is measured of them before it learns.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// An iteration's answers with their scores and per-token numbers, whole and alike on every rank.
struct Rollout {
  let rows: AnswerRows
  /// Whether each answer's last token is the stop token.
  let hasEnd: [Bool]
  /// After the rule for missing ends.
  let scores: [Double]
  /// Log-probabilities of the policy that wrote the answers.
  let old: [Double]
  /// Of the reference.
  let reference: [Double]
  /// KL(π‖π_ref) over the vocabulary.
  let exactKL: [Double]
  /// The critic's; zeros without one.
  let values: [Double]
  /// Experts of each token of each row, [layers][rows · length · k].
  let experts: [[Int32]]
  /// The reference's rows after its final norm at each place [places, H]; nil where no update needs
  /// them.
  let referenceHidden: Tensor?
}

/// What writes answers and measures them.
struct RolloutSource {
  let trainer: Trainer
  let critic: Trainer?
  let reference: LanguageModel
  var judge: Judge
  let template: ChatTemplate
  let settings: RolloutConfiguration
  let seed: UInt64
  let microBatch: Int
  /// Whether updates ask for the reference's distributions.
  let keepsReferenceHidden: Bool

  /// Answers to these prompts, which all ranks give alike; answer i is number `firstSample` + i of the
  /// stream `name`.
  func answers(
    to prompts: [[Int32]], by model: LanguageModel, _ name: String, firstSample: Int
  ) -> (rows: AnswerRows, hasEnd: [Bool]) {
    var options = SamplingOptions()
    options.stopTokens = [template.stop]
    options.maximumNewTokens = settings.answerTokens
    (options.seed, options.stream) = (seed, name)
    let answers = model.generate(
      sharing: prompts, options, samples: prompts.indices.map { firstSample + $0 })
    return (
      AnswerRows(
        prompts: prompts, answers: answers.map(\.tokens), padding: template.padding,
        routers: [trainer, critic].compactMap { $0?.model.configuration.router }),
      answers.map(\.isFinished)
    )
  }

  /// Answers of the trained policy, scored. `order` is that of the first epoch, whose `minibatches`
  /// the passes over the answers take, so that the first of them computes what the first update does;
  /// several at a time where an update's are shared by fewer ranks.
  func rollout(
    _ prompts: [[Int32]], step: Int, order: [Int], minibatches: Int
  ) throws -> Rollout {
    let (rows, hasEnd) = answers(
      to: prompts, by: trainer.model, "rollout", firstSample: step * prompts.count)
    let scores = try judge.scores(rows, microBatch: microBatch)
    let layers = trainer.model.configuration.expertLayers.count
    let k = trainer.model.configuration.router.expertsPerToken
    var table = SharedTable(columns: 4, count: rows.mask.holdsToken.count)
    var experts = SharedTable(columns: layers, count: rows.count * rows.length * k)
    let hidden =
      keepsReferenceHidden
      ? trainer.device.tensor(
        [rows.mask.holdsToken.count, reference.configuration.width], filledWith: 0) : nil
    let data = trainer.mesh.communicator(.data)
    let learners = trainer.learners.parts
    let parts = minibatches % learners == 0 ? minibatches / learners : minibatches
    for part in order.parts(parts) {
      for batch in rows.batches(of: Array(part), microBatch: microBatch, over: data) {
        trainer.mesh.world.goOn()
        measure(batch, &table, &experts, hidden, k: k)
      }
    }
    let numbers = table.summed(over: trainer.mesh.world)
    let choices = experts.summed(over: trainer.mesh.world)
    if let hidden { trainer.mesh.world.sum(hidden.flat, team: trainer.device.team) }
    return Rollout(
      rows: rows, hasEnd: hasEnd,
      scores: settings.missingEndRule.scores(scores, hasEnd: hasEnd), old: numbers[0],
      reference: numbers[1], exactKL: numbers[2], values: numbers[3],
      experts: choices.map { $0.map { Int32($0) } },
      referenceHidden: hidden)
  }

  private func measure(
    _ batch: AnswerBatch, _ table: inout SharedTable, _ experts: inout SharedTable,
    _ hidden: Tensor?, k: Int
  ) {
    let policy = PolicyPass(trainer.model, batch, on: Tape(trainer.device, recording: false))
    let reference = PolicyPass(reference, batch, on: Tape(trainer.device, recording: false))
    let places = policy.places
    table.set(0, policy.logProbabilities.value.elements, at: places)
    table.set(1, reference.logProbabilities.value.elements, at: places)
    if let hidden {
      // Each row is 0 before, and one rank's alone.
      scatterAddRows(
        reference.output.hidden.value.matrix, places.map { Int32($0) }, into: hidden.matrix,
        accumulate: true, team: trainer.device.team)
    }
    table.set(2, policy.divergence(to: reference.logits.value).value.elements, at: places)
    if let critic {
      let output = critic.model.forward(
        batch.micro.batch, on: Tape(trainer.device, recording: false))
      table.set(3, critic.model.scalars(output.hidden).value.elements, at: places)
    }
    for (layer, routing) in policy.output.routings.enumerated() {
      for (token, row) in routing.rows(batch.micro.batch).enumerated() {
        let home = batch.homes[token]
        guard row >= 0 && home >= 0 else { continue }
        experts.set(
          layer, routing.experts[row * k..<(row + 1) * k].map(Double.init),
          at: home * k..<(home + 1) * k)
      }
    }
  }
}

/// One forward pass of a policy over answers: what each of this rank's tokens predicts.
struct PolicyPass {
  let output: LanguageModel.Output
  /// This rank's columns for all tokens.
  let logits: Variable
  /// ln π of the answers' tokens [own, 1]; 0 where a position predicts none.
  let logProbabilities: Variable
  /// The table's place of what each of this rank's tokens predicts, −1 for none.
  let places: ArraySlice<Int>
  private let model: LanguageModel
  private let tokens: Int

  init(_ model: LanguageModel, _ batch: AnswerBatch, on tape: Tape) {
    self.init(model, batch, output: model.forward(batch.micro.batch, on: tape))
  }

  init(_ model: LanguageModel, _ batch: AnswerBatch, output: LanguageModel.Output) {
    self.model = model
    self.output = output
    tokens = batch.places.count
    logits = model.logits(output.hidden, tokens: tokens)
    logProbabilities = model.logProbabilities(
      output.hidden, labels: batch.micro.labels, logits: logits)
    places = batch.places[output.tokens]
  }

  /// KL to the policy of these logits at each of this rank's tokens [own, 1].
  func divergence(to reference: Tensor) -> Variable {
    model.divergence(of: logits, to: reference, tokens: tokens)
  }

  /// Σ of the entropies at this rank's tokens that predict an answer's.
  var entropy: Double {
    zip(model.divergence(of: logits.detached, to: nil, tokens: tokens).value.elements, places)
      .reduce(0) { $0 - ($1.1 >= 0 ? $1.0 : 0) }
  }

  /// Whether each of this rank's tokens predicts an answer's.
  var mask: [Bool] { places.map { $0 >= 0 } }

  /// A table's numbers at this rank's tokens, 0 where a position predicts no answer's token.
  func own(_ table: [Double]) -> [Double] { places.map { $0 < 0 ? 0 : table[$0] } }
}

extension RolloutSource {
  /// The reference's logits of a batch, this rank's columns for all tokens, from the rows that a rollout `kept`;
  /// tokens that predict none of an answer's have others.
  func referenceLogits(_ pass: PolicyPass, _ kept: Tensor, tokens: Int) -> Tensor {
    let rows = trainer.device.tensor([pass.places.count, kept.columns])
    gatherRows(
      kept.matrix, pass.places.map { Int32($0) }, into: rows.matrix, team: trainer.device.team)
    let tape = Tape(trainer.device, recording: false)
    return reference.logits(tape.constant(rows), tokens: tokens).value
  }
}

extension Array {
  /// Equal parts of the list.
  func parts(_ number: Int) -> [ArraySlice<Element>] {
    let size = count / number
    require(size * number == count, "\(count) elements in \(number) parts")
    return (0..<number).map { self[$0 * size..<($0 + 1) * size] }
  }
}
