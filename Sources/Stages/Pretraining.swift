// Pretraining: next-token prediction on a corpus, from the first step or from a checkpoint.

import Foundation
import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// How a run ended.
public enum RunOutcome: Sendable, Equatable {
  case finished
  /// Asked to stop: saved at this step, to go on with `--resume`.
  case stopped(step: Int)
}

/// One pretraining run on one rank.
///
/// Left out: where ranks come from and where text goes; the command brings both.
public struct Pretraining {
  public var configuration: RunConfiguration
  /// Go on from the newest complete checkpoint; without one the run starts anew.
  public var isResuming = false
  public var threads = 1
  /// Ranks that share this machine's memory.
  public var ranksOnThisMachine = 1
  /// Writes a timeline of all ranks and shows what their groups moved.
  public var isProfiling = false
  public var stop: StopRequest?
  /// What text on rank 0 is shown with.
  public var style: ScreenStyle
  public var print: @Sendable (String) -> Void
  /// Fields that must be equal on all ranks beside the run's own.
  public var handshake: [(name: String, value: String)] = []

  public init(
    _ configuration: RunConfiguration, style: ScreenStyle,
    print: @escaping @Sendable (String) -> Void
  ) {
    self.configuration = configuration
    self.style = style
    self.print = print
  }

  /// Trains to the last step, or until asked to stop. Every rank of `world` calls it alike.
  public func run(on world: Communicator) throws -> RunOutcome {
    let run = try PretrainingRun(self, on: world)
    return try run.train()
  }
}

/// What a run holds while it trains.
private final class PretrainingRun {
  private let options: Pretraining
  private let configuration: RunConfiguration
  private let world: Communicator
  private let text: TextData
  private let trainer: Trainer
  private let store: CheckpointStore
  private let schedule: LearningRateSchedule
  private let peak: ProductPeak
  private var state: RunState
  /// On rank 0.
  private let lock: RunLock?
  /// Watches as long as it is there; nil where the configuration wants none.
  private let watchdog: Watchdog?
  private var meter: CollectiveMeter
  /// What the handshake and the wiring test took.
  private var checking: Duration
  /// On rank 0.
  private var output: RunOutput?
  private var lastSaved: String?

  init(_ options: Pretraining, on world: Communicator) throws {
    self.options = options
    self.world = world
    var configuration = options.configuration
    // What follows is timed without the start of the slowest rank.
    world.barrier()
    var start = ContinuousClock.now
    // First of all: ranks that differ here would part at the next collective.
    try Handshake.check(
      options.handshake + [
        ("configuration", configuration.canonicalText), ("resume", String(options.isResuming)),
        ("product kernel", productKernelName),
      ], over: world)
    checking = ContinuousClock.now - start
    let layout = try world.agreeing {
      let layout = try configuration.layout.layout(ranks: world.size)
      try configuration.validate(layout)
      return layout
    }
    let text = try TextData(configuration, over: world)
    configuration.model.vocabulary = try world.agreeing {
      var model = configuration.model
      model.vocabulary = try text.vocabulary(for: configuration)
      try model.validate()
      try model.validate(layout)
      try model.checkFits(
        held: 2, dealt: 2, precision: configuration.run.precision, layout: layout,
        copies: options.ranksOnThisMachine)
      return model.vocabulary
    }
    self.configuration = configuration
    self.text = text
    let device = try world.agreeing {
      try Device(precision: configuration.run.precision, threads: options.threads)
    }
    let mesh = ProcessMesh(world, layout: layout)
    start = ContinuousClock.now
    try Handshake.check(
      [("tokenizer", text.tokenizer.fingerprint), ("corpus", text.training.fingerprint)],
      over: world)
    checking += ContinuousClock.now - start
    let model = try LanguageModel(
      configuration.model, on: device, mesh: mesh, seed: UInt64(configuration.run.seed),
      dispatch: configuration.layout.dispatch)
    start = ContinuousClock.now
    try model.parameters.checkWiring(over: world)
    checking += ContinuousClock.now - start
    model.recomputesBlocks = configuration.training.recompute == .block
    let settings = configuration.optimizer
    trainer = Trainer(
      model, mesh: mesh, device: device,
      optimizer: Optimizer(
        model.parameters, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
        weightDecay: settings.weightDecay, decayed: settings.decay), clip: settings.clip)
    store = try CheckpointStore(folder: configuration.run.folder, run: configuration.run.name)
    schedule = LearningRateSchedule(configuration.schedule, steps: configuration.training.steps)
    peak = ProductPeak(device: device, world: world)
    state = RunState(
      step: 0, seed: configuration.run.seed, tokens: 0, corpus: text.training.fingerprint,
      tokenizer: text.tokenizer.fingerprint)
    let folder = store.path
    lock = try world.agreeing { world.rank == 0 ? try RunLock(folder: folder) : nil }
    watchdog = try Self.watchdog(
      over: world, folder: "\(folder)/.heartbeat", seconds: configuration.run.watchdogSeconds)
    var minimum = CommunicationMinimum()
    model.parameters.addMinimum(to: &minimum)
    let sequences = configuration.training.batch / layout.data
    model.addMinimum(to: &minimum, tokens: sequences * configuration.data.sequenceLength)
    meter = CollectiveMeter(mesh, minimum: minimum)
    let resumption = Resumption(
      configuration: configuration, state: state, store: store, world: world)
    var resumed: ResumedCheckpoint?
    if options.isResuming {
      resumed = try resumption.load(into: trainer)
    } else {
      try resumption.refuseToOverwrite()
    }
    if let resumed { (state.step, state.tokens) = (resumed.step, resumed.tokens) }
    lastSaved = resumed?.path
    output = try world.agreeing {
      guard world.rank == 0 else { return nil }
      return try RunOutput(
        name: configuration.run.name, folder: store.path, totalSteps: configuration.training.steps,
        resumedStep: resumed?.step, style: options.style, print: options.print)
    }
    introduce(resumed)
  }

  private static func watchdog(
    over world: Communicator, folder: String, seconds: Int
  ) throws -> Watchdog? {
    guard seconds > 0 else { return nil }
    try world.agreeing { if world.rank == 0 { try Watchdog.prepare(folder: folder) } }
    return try world.agreeing {
      try Watchdog(over: world, folder: folder, seconds: Double(seconds))
    }
  }

  private func introduce(_ resumed: ResumedCheckpoint?) {
    let model = trainer.model
    let ranks = world.size == 1 ? "1 rank" : "\(world.size) ranks"
    let threads = options.threads == 1 ? "1 thread" : "\(options.threads) threads"
    let rate = Figure.fixed(peak.operationsPerSecond / 1e9, 0)
    var lines = [
      "\(configuration.run.name): \(Figure.count(Double(model.parameters.count))) parameters, "
        + "\(Figure.count(Double(configuration.model.activeParameters))) active a token; "
        + "\(ranks) of \(threads), \(configuration.run.precision.rawValue)",
      "corpus: \(Figure.count(Double(text.training.count))) tokens to train, "
        + "\(Figure.count(Double(text.evaluation.count))) to evaluate; vocabulary "
        + "\(configuration.model.vocabulary)",
      "products: \(productKernelName), \(rate) GFLOP/s measured",
    ]
    if text.training.tokenFile.hasPrefix("\(configuration.run.tokenFolder)/") {
      lines.append(
        "tokens: kept in \(configuration.run.tokenFolder), since the corpus' folder cannot be "
          + "written")
    }
    if world.size > 1 {
      let milliseconds = Figure.fixed(checking / .milliseconds(1), 0)
      let isDealt = trainer.mesh.size(.expert) * trainer.mesh.size(.expertTensor) > 1
      lines.append(
        "layout: \(trainer.mesh.layout)"
          + (isDealt ? "; experts by \(model.dispatch.rawValue)" : ""))
      lines.append("ranks: handshake and wiring test passed in \(milliseconds) ms")
    }
    if let warning = productKernelWarning { lines.append("warning: \(warning)") }
    for checkpoint in resumed?.passedOver ?? [] {
      guard case .failure(let error) = checkpoint.state else { continue }
      lines.append("warning: passed over a damaged checkpoint: \(error)")
    }
    if let resumed {
      lines.append("resumed from \(resumed.path) at step \(resumed.step)")
      if resumed.step >= configuration.training.steps {
        lines.append(
          "nothing is left to do: training.steps is \(configuration.training.steps); to go on, set "
            + "it to more than \(resumed.step)")
      }
    } else if options.isResuming {
      lines.append("no checkpoint in \(store.path) yet: starting anew")
    }
    output?.note(lines.joined(separator: "\n"))
  }

  // MARK: - Loop

  func train() throws -> RunOutcome {
    let steps = configuration.training.steps
    if options.isProfiling { world.startTrace() }
    while state.step < steps {
      world.begin(step: state.step + 1)
      let start = Trace.now()
      let mark = ContinuousClock.now
      let batch = text.microBatches(step: state.step, over: trainer.data)
      world.trace?.record("data", since: start)
      let dataSeconds = (ContinuousClock.now - mark) / .seconds(1)
      meter.start()
      let rate = configuration.optimizer.learningRate * schedule.factor(step: state.step)
      let result = try trainer.step(batch, step: state.step + 1, learningRate: rate)
      let seconds = (ContinuousClock.now - mark) / .seconds(1)
      world.trace?.record("step", since: start)
      state.step += 1
      state.tokens += result.counts.tokens
      try report(result, learningRate: rate, seconds: seconds, dataSeconds: dataSeconds)
      let isLast = state.step == steps
      if isDue(configuration.evaluation.every) || isLast { try traced("evaluate", evaluate) }
      if isDue(configuration.samples.every) || isLast { traced("sample", sample) }
      let stops = world.maximum(options.stop?.isRequested == true ? 1 : 0) == 1 && !isLast
      if isDue(configuration.checkpoint.every) || isLast || stops { try traced("save", save) }
      if stops {
        output?.note("stopped as asked; --resume goes on from step \(state.step)")
        try finish()
        return .stopped(step: state.step)
      }
    }
    try finish()
    return .finished
  }

  private func isDue(_ every: Int) -> Bool { every > 0 && state.step % every == 0 }

  private func traced(_ name: String, _ work: () throws -> Void) rethrows {
    let start = Trace.now()
    try work()
    world.trace?.record(name, since: start)
  }

  private func finish() throws {
    if options.isProfiling {
      let traces = world.gatherTraces()
      try world.agreeing { try output?.profile(traces) }
    }
    try world.agreeing { try output?.finish(checkpoint: lastSaved) }
  }

  private func report(
    _ result: StepResult, learningRate: Double, seconds: Double, dataSeconds: Double
  ) throws {
    func phase(_ names: String...) -> Double {
      result.seconds.filter { names.contains($0.part) }.reduce(0) { $0 + $1.seconds }
    }
    let operations = configuration.model.trainingOperations(
      sequences: result.counts.sequences, length: configuration.data.sequenceLength)
    let hasRouters = !result.routers.isEmpty
    let record = StepRecord(
      step: state.step, of: configuration.training.steps,
      losses: LossTerms(
        perToken: result.loss, balance: hasRouters ? result.balance : nil,
        z: hasRouters ? result.z : nil, bitsPerCharacter: text.bitsPerCharacter(result.loss)),
      learningRate: learningRate, gradientNorm: result.gradientNorm, tokens: result.counts.tokens,
      timing: StepTiming(
        seconds: seconds, shareOfPeak: operations / seconds / peak.operationsPerSecond,
        forward: phase("forward", "count"), backward: phase("backward"), reduce: phase("reduce"),
        update: phase("norm", "update"), data: dataSeconds), collectives: meter.uses())
    try world.agreeing { try output?.step(record) }
    guard hasRouters,
      configuration.display.routerEvery > 0,
      isDue(configuration.display.routerEvery) || state.step == configuration.training.steps
    else { return }
    let routers = routerRecord(result)
    try world.agreeing { try output?.router(routers) }
  }

  /// The routers over all ranks.
  private func routerRecord(_ result: StepResult) -> RouterRecord {
    let sums = world.sum(result.routers.flatMap { $0.probabilities + [$0.balance, $0.z] })
    let width = configuration.model.router.experts + 2
    let tokens = Double(max(result.counts.tokens, 1))
    let layers = configuration.model.expertLayers.enumerated().map { index, layer in
      let own = sums[index * width..<(index + 1) * width]
      let counts = result.counts.expertChoices[index]
      let chosen = result.counts.tokens * configuration.model.router.expertsPerToken
      return LayerRouting(
        layer: layer, counts: counts, probabilities: own.dropLast(2).map { $0 / tokens },
        tokens: result.counts.tokens, balance: own[own.endIndex - 2], z: own[own.endIndex - 1],
        dropped: chosen - counts.reduce(0, +))
    }
    return RouterRecord(step: state.step, layers: layers)
  }

  private func evaluate() throws {
    let start = ContinuousClock.now
    let sum = trainer.model.evaluate(
      text.evaluationBatches(over: trainer.data), over: world)
    let record = EvaluationRecord(
      step: state.step, loss: sum.lossPerToken,
      bitsPerCharacter: sum.bitsPerCharacter(text.evaluatedCharacters), tokens: sum.tokens,
      seconds: (ContinuousClock.now - start) / .seconds(1))
    try world.agreeing { try output?.evaluation(record) }
  }

  /// All ranks compute the sample alike, so that layouts that split the model can as well.
  private func sample() {
    let settings = configuration.samples
    guard settings.tokens > 0 else { return }
    var options = SamplingOptions()
    options.temperature = settings.temperature
    options.topP = settings.topP
    options.maximumNewTokens = settings.tokens
    options.seed = UInt64(configuration.run.seed)
    let prompt = text.tokenizer.encode(settings.prompt)
    guard !prompt.isEmpty else { return }
    let continuation = trainer.model.generate([prompt], options, firstSample: state.step)[0]
    output?.note("sample: " + text.tokenizer.decode(prompt + continuation.tokens))
  }

  private func save() throws {
    try world.agreeing { try output?.synchronize() }
    try trainer.save(
      state, configuration: configuration.yaml, tokenizer: text.tokenizer.json, to: store,
      keep: configuration.checkpoint.keep)
    lastSaved = store.begin(step: state.step).finalPath
    output?.note("saved \(lastSaved ?? "")")
  }
}
