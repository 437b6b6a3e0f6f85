// A pipeline on one rank: which steps are done, which go on, which begin; then what came out.

import Kernels
import Parallel
import Tasks
import Training

/// Runs the steps in order. Every rank makes the same calls in the same order.
struct PipelineRun {
  let pipeline: Pipeline
  let start: StageStart
  let layout: LayoutOptions
  /// Makes anew what was made with other settings or of other files.
  let isForced: Bool
  let world: Communicator

  /// What is to be done for a step.
  enum Plan: Equatable {
    case done
    case begin
    case resume
  }

  /// Runs what is not done; then gives the table. Throws `QuietExit` when asked to stop.
  func run() throws -> PipelineTable {
    let clock = ContinuousClock.now
    var table = PipelineTable(pipeline)
    for (number, step) in pipeline.steps.enumerated() {
      let place = "[\(number + 1)/\(pipeline.steps.count)] \(step.name)"
      let record = try named(step) {
        try run(step, place: place, since: clock)
      }
      try world.agreeing { try table.add(step, record, in: pipeline) }
    }
    return table
  }

  /// An error that says which step it is of.
  private func named<Result>(_ step: Pipeline.Step, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as any AgreedError {
      throw StepFailure(step: step.name, file: pipeline.file, error: error)
    } catch {
      // Of one rank alone: it must speak for itself.
      guard world.size == 1, !(error is QuietExit) else { throw error }
      throw StepFailure(step: step.name, file: pipeline.file, error: error)
    }
  }

  private func run(
    _ step: Pipeline.Step, place: String, since clock: ContinuousClock.Instant
  ) throws -> PipelineRecord {
    let configuration = try world.agreeing { try self.configuration(of: step) }
    var (plan, record): (Plan, PipelineRecord) = try world.agreeing {
      try self.plan(step, configuration)
    }
    // Who sees other files would part from the others at the next collective.
    try Handshake.check([("step \(step.name)", "\(plan)")], over: world)
    say(place, plan, record, since: clock)
    if plan != .done {
      try world.agreeing { if world.rank == 0 { try prepare(step, plan, record) } }
      let mark = ContinuousClock.now
      let notes = try work(step, configuration, plan, &record)
      record.notes = notes
      record.seconds += (ContinuousClock.now - mark) / .seconds(1)
      record.isFinished = true
      try save(record, step)
    }
    guard step.kind.isPolicy, pipeline.head.evaluation.prompts > 0 else { return record }
    try judge(step, &record)
    return record
  }

  private func configuration(of step: Pipeline.Step) throws -> RunConfiguration? {
    guard let stage = step.kind.stage else { return nil }
    var configuration = try pipeline.configuration(of: step, stage: stage)
    try configuration.takeLayout(layout.layout, ranks: world.size)
    return configuration
  }

  private func plan(
    _ step: Pipeline.Step, _ configuration: RunConfiguration?
  ) throws -> (Plan, PipelineRecord) {
    let inputs = try configuration.map { try StepInputs($0) } ?? StepInputs(step, in: pipeline)
    let folder = pipeline.folder(of: step.name)
    let known = try PipelineRecord(of: step.name, in: pipeline.folder)
    let isThere = Disk().exists(folder)
    var hasResult = isThere
    var isComplete = hasResult
    if let configuration {
      let store = try CheckpointStore(folder: pipeline.folder, run: step.name)
      let all = isThere ? try store.checkpoints() : []
      let newest = all.last { $0.folder != nil }
      guard all.isEmpty || newest != nil || isForced else {
        throw FileError(
          folder,
          "holds damaged checkpoints alone; accepted: another name, or --force to make it anew")
      }
      hasResult = newest != nil
      isComplete = (newest?.step ?? 0) >= configuration.training.steps
    }
    guard let known else {
      guard !isThere || isForced else {
        throw FileError(
          folder,
          "is there already, and not of this pipeline; accepted: another name, or --force to "
            + "make it anew")
      }
      return (.begin, PipelineRecord(inputs))
    }
    if let difference = inputs.difference(from: known.inputs) {
      guard isForced || !hasResult else {
        throw FileError(
          folder,
          "was made with other settings or files: \(difference); accepted: --force to make "
            + "the step anew")
      }
      return (.begin, PipelineRecord(inputs))
    }
    if known.isFinished && isComplete { return (.done, known) }
    return (hasResult && configuration != nil ? .resume : .begin, known)
  }

  /// Leaves nothing of what is made anew, and says what is begun.
  private func prepare(_ step: Pipeline.Step, _ plan: Plan, _ record: PipelineRecord) throws {
    if plan == .begin { try Disk().remove(pipeline.folder(of: step.name)) }
    var begun = record
    begun.isFinished = false
    try begun.write(as: step.name, in: pipeline.folder)
  }

  private func save(_ record: PipelineRecord, _ step: Pipeline.Step) throws {
    try world.agreeing {
      if world.rank == 0 { try record.write(as: step.name, in: pipeline.folder) }
    }
  }

  private func say(
    _ place: String, _ plan: Plan, _ record: PipelineRecord, since clock: ContinuousClock.Instant
  ) {
    guard world.rank == 0 else { return }
    let so = Figure.duration((ContinuousClock.now - clock) / .seconds(1))
    switch plan {
    case .done:
      apus.say("\(place): done before, in \(Figure.interval(record.seconds))")
    case .begin: apus.say("\(place): begins, \(so) after the start")
    case .resume: apus.say("\(place): goes on, \(so) after the start")
    }
  }

  // MARK: - Work

  /// Does the step; gives figures of what it made.
  private func work(
    _ step: Pipeline.Step, _ configuration: RunConfiguration?, _ plan: Plan,
    _ record: inout PipelineRecord
  ) throws -> [String: Double] {
    if let configuration {
      var stage = start
      stage.isResuming = plan == .resume
      let mark = ContinuousClock.now
      if case .stopped = try stage.run(configuration, on: world) {
        record.seconds += (ContinuousClock.now - mark) / .seconds(1)
        try save(record, step)
        if world.rank == 0 {
          apus.say("stopped in step \(step.name); the same command goes on")
        }
        throw QuietExit(status: .savedAndNotFinished)
      }
      return [:]
    }
    let folder = pipeline.folder(of: step.name)
    let settings = step.settings
    guard step.kind == .pairs else {
      try world.agreeing {
        var files = TaskFiles(task: try settings.task.task())
        (files.examples, files.prompts) = (settings.examples, settings.prompts)
        files.evaluation = settings.evaluation
        if settings.seed > 0 { files.seed = UInt64(settings.seed) }
        if world.rank == 0 { try files.write(to: folder, replacing: false) }
      }
      return [:]
    }
    let loaded = try start.ranks.load(
      pipeline.folder(of: settings.from), layout: layout, world: world)
    let sampling = PairSampling(
      model: loaded.model,
      questions: try world.agreeing { try TaskQuestions(settings.task, for: loaded) },
      seed: settings.seed == 0 ? PairSampling.usualSeed : UInt64(settings.seed),
      leastGap: settings.leastGap)
    var notes: [String: Double] = [:]
    for (name, count, evaluation) in [
      ("pairs", settings.pairs, false), ("evaluation", settings.evaluationPairs, true),
    ] {
      let drawn = try sampling.draw(count, evaluation: evaluation)
      notes["\(name).bayes_accuracy"] = drawn.bayesAccuracy
      notes["\(name).left_out"] = Double(drawn.leftOut)
      let path = "\(folder)/\(name).jsonl"
      try world.agreeing {
        guard world.rank == 0 else { return }
        try Disk().makeFolder(folder)
        try Disk().replace(path, with: sampling.lines(drawn))
      }
      if world.rank == 0 { apus.say(drawn.summary(path)) }
    }
    return notes
  }

  private func judge(_ step: Pipeline.Step, _ record: inout PipelineRecord) throws {
    let reference = pipeline.reference.flatMap { name in
      pipeline.steps.prefix { $0.name != step.name }.contains { $0.name == name } ? name : nil
    }
    let paths = (
      policy: pipeline.folder(of: step.name), reference: reference.map(pipeline.folder(of:))
    )
    let task = pipeline.head.task
    let inputs = try world.agreeing {
      try StepInputs(
        policy: paths.policy, reference: paths.reference, task: task, pipeline.head.evaluation)
    }
    guard record.judgedBy != inputs || record.judgement == nil else { return }
    let mark = ContinuousClock.now
    let policy = try start.ranks.load(paths.policy, layout: layout, world: world)
    let other = try paths.reference.map {
      try start.ranks.load(
        $0, precision: policy.device.precision, layout: layout, world: world)
    }
    let questions = try world.agreeing {
      let questions = try TaskQuestions(task, for: policy)
      try questions.checkEvaluation(pipeline.head.evaluation.prompts)
      return questions
    }
    let extent = TaskEvaluation.Extent(
      prompts: pipeline.head.evaluation.prompts, samples: pipeline.head.evaluation.samples,
      seed: UInt64(pipeline.head.evaluation.seed))
    let evaluation = TaskEvaluation(of: policy, against: other, questions, extent)
    if world.rank == 0 { apus.say(evaluation.text) }
    record.judgedBy = inputs
    record.judgement = .object(evaluation.json)
    record.seconds += (ContinuousClock.now - mark) / .seconds(1)
    try save(record, step)
  }
}

/// What went wrong in which step.
struct StepFailure: AgreedError, CustomStringConvertible {
  let step: String
  let file: String
  let error: any Error
  var description: String { "\(file), step \(step): \(error)" }
}
