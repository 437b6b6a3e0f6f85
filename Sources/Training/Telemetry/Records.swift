// What a run says of itself: one step, one evaluation, one look at the routers. Values only.

/// Something that becomes one line of `metrics.jsonl`.
public protocol MetricsRecord: Sendable {
  /// The line's member `kind`, by which readers tell lines apart.
  static var kind: String { get }
  /// The optimiser step after which this was measured; the first is 1.
  var step: Int { get }
  /// Adds all members but `kind` and `step`.
  func write(to line: inout MetricsLine)
}

/// Terms of the objective in one step, over all ranks.
public struct LossTerms: Sendable, Equatable {
  /// Mean negative log-probability of a label, in nats.
  public var perToken: Double
  /// Before its coefficient; nil where no layer has experts.
  public var balance: Double?
  /// Before its coefficient; nil where no layer has experts.
  public var z: Double?
  /// Bits that the model needs for one character of the text; nil where characters are not counted.
  public var bitsPerCharacter: Double?

  public init(
    perToken: Double, balance: Double? = nil, z: Double? = nil, bitsPerCharacter: Double? = nil
  ) {
    self.perToken = perToken
    self.balance = balance
    self.z = z
    self.bitsPerCharacter = bitsPerCharacter
  }
}

/// Where the seconds of one step went.
public struct StepTiming: Sendable, Equatable {
  /// The whole step, by the clock on the wall.
  public var seconds: Double
  /// Matrix-product operations done, as a share of what the machine was measured to do in
  /// `seconds`: 0 … 1.
  public var shareOfPeak: Double
  public var forward: Double
  public var backward: Double
  /// Summing gradients over ranks.
  public var reduce: Double
  /// Clipping and the optimiser.
  public var update: Double
  /// Waiting for the batch.
  public var data: Double

  public init(
    seconds: Double, shareOfPeak: Double = 0, forward: Double = 0, backward: Double = 0,
    reduce: Double = 0, update: Double = 0, data: Double = 0
  ) {
    self.seconds = seconds
    self.shareOfPeak = shareOfPeak
    self.forward = forward
    self.backward = backward
    self.reduce = reduce
    self.update = update
    self.data = data
  }

  /// The phases by name, in the order of a step.
  public var phases: [(name: String, seconds: Double)] {
    [
      ("data", data), ("forward", forward), ("backward", backward), ("reduce", reduce),
      ("update", update),
    ]
  }
}

/// What the collectives of one group moved in one step on one rank.
public struct CollectiveUse: Sendable, Equatable {
  /// The group: `world`, `data`, `expert-data`.
  public var name: String
  public var calls: Int
  /// Bytes that the rank sent.
  public var bytes: Int
  /// Seconds inside the calls, waiting for the others included.
  public var seconds: Double
  /// The fewest bytes that the formulas allow; nil where there is none for the group.
  public var minimum: Int?

  public init(
    _ name: String, calls: Int, bytes: Int, seconds: Double = 0, minimum: Int? = nil
  ) {
    self.name = name
    self.calls = calls
    self.bytes = bytes
    self.seconds = seconds
    self.minimum = minimum
  }
}

/// One optimiser step.
public struct StepRecord: MetricsRecord, Equatable {
  public static let kind = "step"

  public var step: Int
  public var totalSteps: Int
  public var losses: LossTerms
  public var learningRate: Double
  /// Of all parameters over all ranks, before clipping.
  public var gradientNorm: Double
  /// Tokens that went through the model, over all ranks.
  public var tokens: Int
  public var timing: StepTiming
  public var collectives: [CollectiveUse]

  public init(
    step: Int, of totalSteps: Int, losses: LossTerms, learningRate: Double, gradientNorm: Double,
    tokens: Int, timing: StepTiming, collectives: [CollectiveUse] = []
  ) {
    self.step = step
    self.totalSteps = totalSteps
    self.losses = losses
    self.learningRate = learningRate
    self.gradientNorm = gradientNorm
    self.tokens = tokens
    self.timing = timing
    self.collectives = collectives
  }

  public var tokensPerSecond: Double {
    timing.seconds > 0 ? Double(tokens) / timing.seconds : 0
  }

  public func write(to line: inout MetricsLine) {
    line.add("steps", totalSteps)
    line.add("loss", losses.perToken)
    line.add("balance_loss", losses.balance)
    line.add("z_loss", losses.z)
    line.add("bits_per_character", losses.bitsPerCharacter)
    line.add("learning_rate", learningRate)
    line.add("gradient_norm", gradientNorm)
    line.add("tokens", tokens)
    if !collectives.isEmpty {
      line.group("collectives") { line in
        for use in collectives {
          line.group(use.name) { line in
            line.add("calls", use.calls)
            line.add("bytes", use.bytes)
            if let minimum = use.minimum { line.add("minimum", minimum) }
          }
        }
      }
    }
    line.times { line in
      line.add("seconds", timing.seconds)
      line.add("tokens_per_second", tokensPerSecond)
      line.add("share_of_peak", timing.shareOfPeak)
      for phase in timing.phases { line.add(phase.name, phase.seconds) }
      if !collectives.isEmpty {
        line.group("collectives") { line in
          for use in collectives { line.add(use.name, use.seconds) }
        }
      }
    }
  }
}

/// What a stage alone knows of a step: rewards, margins, accuracies, under the names that users of TRL
/// know.
public struct StageRecord: MetricsRecord {
  public static let kind = "stage"

  /// Of which examples.
  public enum Part: String, Sendable {
    case train
    case heldOut = "held_out"
  }

  public var step: Int
  public var stage: StageName
  public var part: Part
  public var figures: [(name: String, value: Double)]

  public init(
    step: Int, stage: StageName, part: Part, figures: [(name: String, value: Double)]
  ) {
    self.step = step
    self.stage = stage
    self.part = part
    self.figures = figures
  }

  public func write(to line: inout MetricsLine) {
    line.add("stage", stage.rawValue)
    line.add("part", part.rawValue)
    for figure in figures { line.add(figure.name, figure.value) }
  }
}

/// The held-out part of the corpus, after some step.
public struct EvaluationRecord: MetricsRecord, Equatable {
  public static let kind = "evaluation"

  public var step: Int
  /// Nats per token.
  public var loss: Double
  /// Does not depend on the tokenizer; nil where characters are not counted.
  public var bitsPerCharacter: Double?
  /// Tokens that were predicted.
  public var tokens: Int
  public var seconds: Double

  public init(
    step: Int, loss: Double, bitsPerCharacter: Double?, tokens: Int, seconds: Double
  ) {
    self.step = step
    self.loss = loss
    self.bitsPerCharacter = bitsPerCharacter
    self.tokens = tokens
    self.seconds = seconds
  }

  public func write(to line: inout MetricsLine) {
    line.add("loss", loss)
    line.add("bits_per_character", bitsPerCharacter)
    line.add("tokens", tokens)
    line.times { $0.add("seconds", seconds) }
  }
}
