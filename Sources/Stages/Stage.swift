// What a stage brings to the run that all stages share; the loop brings everything else.

import Parallel
import Text
import Training
import Transformer

/// A stage on one rank: what it reads, what a step learns, what is measured.
///
/// Every rank makes the same calls in the same order.
public protocol Stage: AnyObject, SendableMetatype {
  static var name: StageName { get }
  /// Figures that stand in the line of a step.
  static var columns: [StageColumn] { get }
  /// Numbers a parameter of the model that are held by every rank that has its slice, and dealt among
  /// those, over all models of the stage.
  static var memory: (held: Int, dealt: Int) { get }

  /// Reads what is learnt from. Throws `RanksFailed` on all ranks.
  init(_ configuration: RunConfiguration, over world: Communicator) throws

  var tokenizer: Tokenizer { get }
  /// Of all that is learnt from, in tokens: a run goes on with the same alone.
  var fingerprint: String { get }
  /// What that is, one by one, to name what differs.
  var sources: [RunSource] { get }
  /// What was read, in lines for the user.
  var introduction: [String] { get }

  /// Called once, when the model has the weights that the run begins with; one that is resumed gets
  /// its own after that.
  func prepare(_ trainer: Trainer) throws

  /// Models that learn beside each other, the run's own first: each is learnt by a part of the data ranks
  /// where these can be dealt so, else all by all.
  var modelsLearnt: Int { get }

  /// Makes a step of the run (from 0): one update on the step's micro-batches, or several.
  func step(_ trainer: Trainer, step: Int, learningRate: Double) throws -> StepResult

  /// This rank's share of the samples of a step (from 0), in micro-batches, as many on every rank. A
  /// stage that sets `Trainer.task` keeps what it needs of them; one that makes its own steps has none.
  func microBatches(step: Int, over data: Communicator) -> [MicroBatch]

  /// Numbers that the stage carries from step to step, and gets back when a run is resumed.
  var carried: [Double] { get }
  func restore(_ carried: [Double])

  /// Tokens of the micro-batches of every step on the data rank that has most, which is the first; nil
  /// where steps differ, or make several updates.
  func tokensOfStep(dataRanks: Int) -> Int?

  /// Of a step's loss; nil where characters are not counted.
  func bitsPerCharacter(_ loss: Double) -> Double?

  /// What the step that was just made showed beside its loss, over all ranks.
  func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)]

  /// Loss and more on examples that are not trained on; nil where there are none.
  func evaluate(_ trainer: Trainer) throws -> HeldOut?

  /// What `samples.prompt` becomes, and the tokens that end a sample; nil where the stage samples
  /// nothing.
  func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>)?
}

/// What examples that are not trained on show.
public struct HeldOut {
  /// nil where examples have none.
  public var loss: Double?
  /// Tokens that were predicted, or scored.
  public var tokens: Int
  var bitsPerCharacter: Double?
  var figures: [(name: String, value: Double)] = []
  /// A line for the user.
  var note: String?
}

extension Stage {
  public static var columns: [StageColumn] { [] }
  /// One model: weights and gradients, two moments.
  public static var memory: (held: Int, dealt: Int) { (2, 2) }
  public var carried: [Double] { [] }
  public func restore(_ carried: [Double]) {}
  public func microBatches(step: Int, over data: Communicator) -> [MicroBatch] { [] }

  public func step(_ trainer: Trainer, step: Int, learningRate: Double) throws -> StepResult {
    var clock = PhaseClock(trainer.mesh.world.trace)
    let batch = microBatches(step: step, over: trainer.data)
    clock.end("data")
    var result = try trainer.step(batch, step: step + 1, learningRate: learningRate)
    result.seconds += clock.phases
    return result
  }

  public func prepare(_ trainer: Trainer) throws {}
  public var modelsLearnt: Int { 1 }
  public func tokensOfStep(dataRanks: Int) -> Int? { nil }
  public func bitsPerCharacter(_ loss: Double) -> Double? { nil }
  public func figures(
    _ result: StepResult, over world: Communicator
  ) -> [(name: String, value: Double)] { [] }
}

extension RunConfiguration {
  /// Tokens of a step on the first of `dataRanks`, where every sequence is full: no rank has more.
  func largestShareOfTokens(dataRanks: Int) -> Int {
    share(of: training.batch, part: 0, of: dataRanks).count * data.sequenceLength
  }
}

extension ChatTemplate {
  /// A text as the user's message, or as it stands where the vocabulary cannot frame messages.
  func samplePrompt(_ text: String) throws -> (tokens: [Int32], stop: Set<Int32>) {
    let prompt: Passage = framesMessages ? .messages([Message(.user, text)]) : .text(text)
    return (try encodePrompt(prompt), [stop])
  }
}
