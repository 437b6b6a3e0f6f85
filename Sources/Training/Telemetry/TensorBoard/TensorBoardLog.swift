// Which figures TensorBoard shows, and under which tags.

/// Writes the event files of a run into one folder, which `tensorboard --logdir` opens.
public final class TensorBoardLog {
  private let file: EventFile

  /// The event file of this process.
  public var path: String { file.path }

  /// `resumedStep` is the step of the checkpoint from which a run goes on; what was shown of later
  /// steps goes away.
  public init(folder: String, resumedStep: Int? = nil, disk: Disk = Disk()) throws {
    file = try EventFile(folder: folder, resumedStep: resumedStep, disk: disk)
  }

  public func append(_ record: StepRecord) throws {
    let losses = record.losses
    var figures: [TensorBoardFigure] = [
      .scalar(tag: "train/loss", losses.perToken),
      .scalar(tag: "train/learning_rate", record.learningRate),
      .scalar(tag: "train/gradient_norm", record.gradientNorm),
      .scalar(tag: "speed/tokens_per_second", record.tokensPerSecond),
      .scalar(tag: "speed/share_of_peak", record.timing.shareOfPeak),
      .scalar(tag: "speed/step_seconds", record.timing.seconds),
    ]
    for phase in record.timing.phases {
      figures.append(.scalar(tag: "phases/\(phase.name)_seconds", phase.seconds))
    }
    for use in record.collectives {
      figures.append(.scalar(tag: "collectives/\(use.name)_bytes", Double(use.bytes)))
      figures.append(.scalar(tag: "collectives/\(use.name)_seconds", use.seconds))
    }
    if let balance = losses.balance { figures.append(.scalar(tag: "train/balance_loss", balance)) }
    if let z = losses.z { figures.append(.scalar(tag: "train/z_loss", z)) }
    if let bits = losses.bitsPerCharacter {
      figures.append(.scalar(tag: "train/bits_per_character", bits))
    }
    try file.append(figures, step: record.step)
  }

  public func append(_ record: EvaluationRecord) throws {
    var figures: [TensorBoardFigure] = [.scalar(tag: "held_out/loss", record.loss)]
    if let bits = record.bitsPerCharacter {
      figures.append(.scalar(tag: "held_out/bits_per_character", bits))
    }
    try file.append(figures, step: record.step)
  }

  public func append(_ record: StageRecord) throws {
    try file.append(
      record.figures.map {
        .scalar(tag: "\(record.part.rawValue)/\(record.stage.rawValue)/\($0.name)", $0.value)
      }, step: record.step)
  }

  /// The load of each layer is a histogram over expert numbers: bar e is the load of expert e.
  public func append(_ record: RouterRecord) throws {
    var figures: [TensorBoardFigure] = []
    for layer in record.layers {
      let tag = "router/layer_\(layer.layer)"
      figures.append(.bars(tag: "\(tag)/load", layer.counts))
      figures.append(.scalar(tag: "\(tag)/max_over_mean", layer.maxOverMean))
      figures.append(.scalar(tag: "\(tag)/load_entropy_share", layer.loadEntropyShare))
      figures.append(.scalar(tag: "\(tag)/dead_experts", Double(layer.dead.count)))
      figures.append(.scalar(tag: "\(tag)/balance", layer.balance))
      figures.append(.scalar(tag: "\(tag)/z", layer.z))
    }
    try file.append(figures, step: record.step)
  }

  /// Makes all events durable.
  public func synchronize() throws { try file.synchronize() }
}
