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
    to prompts: [[Int32]], by model: LanguageModel, _ name: String, firstSample: Int,
    traced: TracedTokens = .none
  ) -> WrittenAnswers {
    var options = SamplingOptions()
    options.stopTokens = [template.stop]
    options.maximumNewTokens = settings.answerTokens
    (options.seed, options.stream) = (seed, name)
    options.traced = traced
    let answers = model.generate(
      sharing: prompts, options, samples: prompts.indices.map { firstSample + $0 })
    return WrittenAnswers(
      rows: AnswerRows(
        prompts: prompts, answers: answers.map(\.tokens), padding: template.padding,
        routers: routers), answers: answers)
  }

  /// Of the models that learn from answers.
  private var routers: [RouterConfiguration] {
    [trainer, critic].compactMap { $0?.model.configuration.router }
  }

  /// Answers of the trained policy, scored. What the policy itself says of them it said when it wrote them.
  /// `order` is that of the first epoch: the passes of reference and critic take its `minibatches`, two and
  /// more at a time.
  func rollout(
    _ prompts: [[Int32]], step: Int, order: [Int], minibatches: Int
  ) throws -> Rollout {
    let written = answers(
      to: prompts, by: trainer.model, "rollout", firstSample: step * prompts.count,
      traced: routers.contains(where: \.learnsFromEveryToken) ? .every : .asked)
    let (rows, hasEnd, old) = (written.rows, written.hasEnd, written.logProbabilities)
    let experts = written.experts(of: trainer.model.configuration)
    let scores = try judge.scores(rows, microBatch: microBatch)
    var table = SharedTable(columns: 3, count: rows.mask.holdsToken.count)
    let hidden =
      keepsReferenceHidden
      ? trainer.device.tensor(
        [rows.mask.holdsToken.count, reference.configuration.width], filledWith: 0) : nil
    // Made after what stays, so that memory beside it is free for updates. The traces go.
    let policy = trainer.model.rows(
      drawnFrom: (consume written).answers, places: rows.mask.columns)
    let data = trainer.mesh.communicator(.data)
    // A pass without a tape keeps no layer's activations: of two minibatches it takes less memory than an
    // update of one, which a part of the ranks makes, unless most of either are logits.
    let sizes = trainer.model.configuration
    let together =
      sizes.vocabulary <= sizes.layers * sizes.width ? 2 * trainer.learners.parts : 1
    let parts = minibatches % together == 0 ? minibatches / together : minibatches
    for part in order.parts(parts) {
      for batch in rows.batches(of: Array(part), microBatch: microBatch, over: data) {
        trainer.mesh.world.goOn()
        measure(batch, policy: policy, &table, referenceHidden: hidden)
      }
    }
    let numbers = table.summed(over: trainer.mesh.world)
    if let hidden { trainer.mesh.world.sum(hidden.flat, team: trainer.device.team) }
    return Rollout(
      rows: rows, hasEnd: hasEnd,
      scores: settings.missingEndRule.scores(scores, hasEnd: hasEnd), old: old,
      reference: numbers[0], exactKL: numbers[1], values: numbers[2], experts: experts,
      referenceHidden: hidden)
  }

  /// `policy` are its rows after the final norm at each place.
  private func measure(
    _ batch: AnswerBatch, policy: Tensor, _ table: inout SharedTable,
    referenceHidden hidden: Tensor?
  ) {
    let reference = PolicyPass(reference, batch, on: Tape(trainer.device, recording: false))
    let places = reference.places
    table.set(0, reference.logProbabilities.value.elements, at: places)
    if let hidden {
      // Each row is 0 before, and one rank's alone.
      scatterAddRows(
        reference.output.hidden.value.matrix, places.map { Int32($0) }, into: hidden.matrix,
        accumulate: true, team: trainer.device.team)
    }
    let tokens = batch.places.count
    let logits = trainer.model.logits(from: policy, at: places, tokens: tokens)
    table.set(
      1,
      trainer.model.divergence(of: logits, to: reference.logits.value, tokens: tokens).value
        .elements, at: places)
    if let critic {
      let output = critic.model.forward(
        batch.micro.batch, on: Tape(trainer.device, recording: false))
      table.set(2, critic.model.scalars(output.hidden).value.elements, at: places)
    }
  }
}

/// Answers with what the model that wrote them computed on the way, where they were traced.
struct WrittenAnswers {
  let rows: AnswerRows
  fileprivate let answers: [Continuation]

  /// Whether each answer's last token is the stop token.
  var hasEnd: [Bool] { answers.map(\.isFinished) }

  /// By place of the answers' table, 0 where it holds no token.
  var logProbabilities: [Double] {
    let columns = rows.mask.columns
    return answers.flatMap { answer in
      answer.logProbabilities
        + Array(repeating: 0, count: columns - answer.logProbabilities.count)
    }
  }

  /// Experts of each token of each row, [layers][rows · length · k]; 0 where none were chosen.
  func experts(of model: ModelConfiguration) -> [[Int32]] {
    let size = rows.length * model.router.expertsPerToken
    return model.expertLayers.indices.map { layer in
      answers.flatMap { answer in
        let chosen = answer.trace.experts[layer]
        return chosen.map { max($0, 0) } + Array(repeating: 0, count: size - chosen.count)
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

extension LanguageModel {
  /// Logits of a batch of answers, this rank's columns for all tokens, from the rows after the final norm that
  /// were `kept` by place of the answers' table, and the places of this rank's tokens; tokens that
  /// predict none of an answer's have others.
  func logits(from kept: Tensor, at places: ArraySlice<Int>, tokens: Int) -> Variable {
    let rows = device.tensor([places.count, kept.columns])
    gatherRows(kept.matrix, places.map { Int32($0) }, into: rows.matrix, team: device.team)
    return logits(Tape(device, recording: false).constant(rows), tokens: tokens)
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
