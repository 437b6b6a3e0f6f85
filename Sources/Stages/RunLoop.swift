// The run that all stages share: state, checkpoints, resumption, metrics, screen, watchdog, stop.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// What a run holds while it trains.
final class RunLoop {
  private let options: StageRun
  private let configuration: RunConfiguration
  private let world: Communicator
  private let stage: any Stage
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
  /// On rank 0.
  private var output: RunOutput?
  private var lastSaved: String?

  init(_ options: StageRun, on world: Communicator) throws {
    self.options = options
    self.world = world
    var configuration = options.configuration
    // What follows is timed without the start of the slowest rank.
    world.barrier()
    var mark = ContinuousClock.now
    // First of all: ranks that differ here would part at the next collective.
    try Handshake.check(
      options.handshake + [
        ("configuration", configuration.canonicalText), ("resume", String(options.isResuming)),
        ("profile", String(options.isProfiling)), ("product kernel", productKernelName),
      ], over: world)
    var checking = ContinuousClock.now - mark
    let (layout, start) = try world.agreeing {
      let layout = try configuration.resolvedLayout(ranks: world.size)
      try configuration.validate(layout)
      return (layout, try StartCheckpoint(configuration))
    }
    let stage = try options.make(configuration, world)
    configuration.model.vocabulary = try world.agreeing {
      var model = configuration.model
      model.vocabulary = try configuration.vocabulary(for: stage.tokenizer)
      try model.validate()
      try model.validate(layout)
      try model.checkFits(
        held: options.stage.memory.held, dealt: options.stage.memory.dealt,
        precision: configuration.run.precision, layout: layout,
        copies: options.ranksOnThisMachine)
      return model.vocabulary
    }
    self.configuration = configuration
    self.stage = stage
    let device = try world.agreeing {
      try Device(precision: configuration.run.precision, threads: options.threads)
    }
    let mesh = ProcessMesh(world, layout: layout)
    mark = ContinuousClock.now
    try Handshake.check(
      [
        ("tokenizer", stage.tokenizer.fingerprint), ("data.start", start?.fingerprint ?? ""),
      ] + stage.sources.map { ($0.name, $0.fingerprint) }, over: world)
    checking += ContinuousClock.now - mark
    let learners = mesh.learners(of: stage.modelsLearnt)
    let model = try LanguageModel(
      configuration.model, on: device, mesh: mesh, seed: UInt64(configuration.run.seed),
      learners: learners, dispatch: configuration.layout.dispatch)
    mark = ContinuousClock.now
    try model.parameters.checkWiring(over: world)
    checking += ContinuousClock.now - mark
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
      step: 0, seed: configuration.run.seed, tokens: 0, corpus: stage.fingerprint,
      tokenizer: stage.tokenizer.fingerprint, sources: stage.sources)
    let folder = store.path
    lock = try world.agreeing { world.rank == 0 ? try RunLock(folder: folder) : nil }
    watchdog = try world.watchdog(
      folder: "\(folder)/.heartbeat", seconds: configuration.run.watchdogSeconds)
    var minimum = CommunicationMinimum()
    if let tokens = stage.tokensOfStep(dataRanks: layout.data) {
      model.parameters.addMinimum(to: &minimum)
      model.addMinimum(to: &minimum, tokens: tokens)
    }
    meter = CollectiveMeter(mesh, minimum: minimum)
    let resumption = Resumption(
      configuration: configuration, state: state, store: store, world: world)
    if !options.isResuming { try resumption.refuseToOverwrite() }
    try start?.load(into: model, over: world)
    try stage.prepare(trainer)
    let resumed = options.isResuming ? try resumption.load(into: trainer) : nil
    if let resumed {
      (state.step, state.tokens) = (resumed.step, resumed.tokens)
      stage.restore(resumed.carried)
    }
    lastSaved = resumed?.path
    output = try world.agreeing {
      guard world.rank == 0 else { return nil }
      return try RunOutput(
        name: configuration.run.name, folder: store.path, totalSteps: configuration.training.steps,
        resumedStep: resumed?.step, columns: options.stage.columns, style: options.style,
        print: options.print)
    }
    let introduction = RunIntroduction(
      configuration: configuration, model: model, mesh: mesh, peak: peak, checking: checking,
      threads: options.threads, start: start, stage: stage.introduction)
    output?.note(introduction.text(resumed, isResuming: options.isResuming, folder: store.path))
  }

  // MARK: - Loop

  func train() throws -> RunOutcome {
    options.stop?.beginTraining()
    let steps = configuration.training.steps
    if options.isProfiling { world.startTrace() }
    try evaluateWhatWasPutOff()
    while state.step < steps {
      world.begin(step: state.step + 1)
      let start = Trace.now()
      let mark = ContinuousClock.now
      meter.start()
      let rate = configuration.optimizer.learningRate * schedule.factor(step: state.step)
      let result = try tracingKernels {
        try stage.step(trainer, step: state.step, learningRate: rate)
      }
      let seconds = (ContinuousClock.now - mark) / .seconds(1)
      world.trace?.record("step", since: start)
      state.step += 1
      state.tokens += result.counts.tokens
      state.carried = stage.carried
      try report(result, learningRate: rate, seconds: seconds)
      let isLast = state.step == steps
      // Whoever asks may have little patience: nothing comes before the save.
      var stops = isAskedToStop() && !isLast
      if !stops, try look(isLast: isLast) { stops = isAskedToStop() && !isLast }
      if isDue(configuration.checkpoint.every) || isLast || stops { try traced("save", save) }
      if stops {
        output?.note("stopped as asked; --resume goes on from step \(state.step)")
        try finish()
        return .stopped(step: state.step)
      }
    }
    try finish()
    options.stop?.endTraining()
    return .finished
  }

  /// Whether any rank was; every rank asks.
  private func isAskedToStop() -> Bool {
    world.maximum(options.stop?.isRequested == true ? 1 : 0) == 1
  }

  /// Evaluates and writes a sample where they are due. Gives whether one of them was.
  private func look(isLast: Bool) throws -> Bool {
    let evaluates = isDue(configuration.evaluation.every) || isLast
    let samples = isDue(configuration.samples.every) || isLast
    if evaluates { try traced("evaluate", evaluate) }
    if samples { try traced("sample", sample) }
    return evaluates || samples
  }

  /// A run that is asked to stop saves, and leaves that step's evaluation to the run that goes on.
  private func evaluateWhatWasPutOff() throws {
    guard state.step > 0, state.step < configuration.training.steps,
      isDue(configuration.evaluation.every)
    else { return }
    world.begin(step: state.step)
    guard world.maximum(output?.holdsResumedEvaluation == true ? 1 : 0) == 0 else { return }
    try traced("evaluate", evaluate)
  }

  private func isDue(_ every: Int) -> Bool { every > 0 && state.step % every == 0 }

  private func traced(_ name: String, _ work: () throws -> Void) rethrows {
    let start = Trace.now()
    try work()
    world.trace?.record(name, since: start)
  }

  /// What kernels do is recorded in steps alone: those of a long evaluation would leave no others.
  private func tracingKernels(_ step: () throws -> StepResult) rethrows -> StepResult {
    let team = trainer.device.team
    team.watch = world.trace.map { trace in { trace.record($0, $1) } }
    defer { team.watch = nil }
    return try step()
  }

  private func finish() throws {
    if options.isProfiling {
      let traces = world.gatherTraces()
      try world.agreeing { try output?.profile(traces) }
    }
    try world.agreeing { try output?.finish(checkpoint: lastSaved) }
  }

  private func report(
    _ result: StepResult, learningRate: Double, seconds: Double
  ) throws {
    func phase(_ names: String...) -> Double {
      result.seconds.filter { names.contains($0.part) }.reduce(0) { $0 + $1.seconds }
    }
    let sequences = max(result.counts.sequences, 1)
    let operations = configuration.model.trainingOperations(
      sequences: sequences, length: result.counts.tokens / sequences)
    let hasRouters = !result.routers.isEmpty
    let record = StepRecord(
      step: state.step, of: configuration.training.steps,
      losses: LossTerms(
        perToken: result.loss, balance: hasRouters ? result.balance : nil,
        z: hasRouters ? result.z : nil, bitsPerCharacter: stage.bitsPerCharacter(result.loss)),
      learningRate: learningRate, gradientNorm: result.gradientNorm, tokens: result.counts.tokens,
      timing: StepTiming(
        seconds: seconds, shareOfPeak: operations / seconds / peak.operationsPerSecond,
        forward: phase("forward", "count"), backward: phase("backward"), reduce: phase("reduce"),
        update: phase("norm", "update"), data: phase("data")), collectives: meter.uses())
    let figures = StageRecord(
      step: state.step, stage: options.stage.name, part: .train,
      figures: stage.figures(result, over: world))
    try world.agreeing {
      try output?.step(record, figures.figures)
      try output?.stage(figures)
    }
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
    let layers = configuration.model.expertLayers.enumerated().map { index, layer in
      let own = sums[index * width..<(index + 1) * width]
      let counts = result.counts.expertChoices[index]
      let tokens = result.counts.routed[index]
      let chosen = tokens * configuration.model.router.expertsPerToken
      return LayerRouting(
        layer: layer, counts: counts,
        probabilities: own.dropLast(2).map { $0 / Double(max(tokens, 1)) }, tokens: tokens,
        balance: own[own.endIndex - 2], z: own[own.endIndex - 1],
        dropped: chosen - counts.reduce(0, +))
    }
    return RouterRecord(step: state.step, layers: layers)
  }

  private func evaluate() throws {
    let start = ContinuousClock.now
    guard let heldOut = try stage.evaluate(trainer) else { return }
    let record = heldOut.loss.map {
      EvaluationRecord(
        step: state.step, loss: $0, bitsPerCharacter: heldOut.bitsPerCharacter,
        tokens: heldOut.tokens, seconds: (ContinuousClock.now - start) / .seconds(1))
    }
    let figures = StageRecord(
      step: state.step, stage: options.stage.name, part: .heldOut, figures: heldOut.figures)
    try world.agreeing {
      if let record { try output?.evaluation(record) }
      try output?.stage(figures)
      if let note = heldOut.note { output?.note(note) }
    }
  }

  /// All ranks compute the sample alike, so that layouts that split the model can as well.
  private func sample() throws {
    let settings = configuration.samples
    guard settings.tokens > 0 else { return }
    guard let (prompt, stop) = try world.agreeing({ try stage.samplePrompt(settings.prompt) }),
      !prompt.isEmpty
    else { return }
    var options = SamplingOptions()
    options.temperature = settings.temperature
    options.topP = settings.topP
    options.maximumNewTokens = settings.tokens
    options.seed = UInt64(configuration.run.seed)
    options.stopTokens = stop
    let continuation = trainer.model.generate([prompt], options, samples: [state.step])[0]
    output?.note("sample: " + stage.tokenizer.decode(prompt + continuation.tokens))
  }

  private func save() throws {
    try world.agreeing { try output?.synchronize() }
    try trainer.save(
      state, configuration: configuration.checkpointYAML, tokenizer: stage.tokenizer.json,
      to: store,
      keep: configuration.checkpoint.keep)
    lastSaved = store.begin(step: state.step).finalPath
    output?.note("saved \(lastSaved ?? "")")
  }
}
