// The range of every setting of a run, and of settings against each other and the ranks.

import Parallel
import Transformer

extension RunConfiguration {
  /// Throws `SettingRangeError` for the first value that no run can use.
  ///
  /// A vocabulary of 0 passes: it is known once the tokenizer is read.
  public func validate() throws {
    try run.validate()
    try data.validate()
    try validateModel()
    try layout.validate()
    try training.validate()
    try optimizer.validate()
    try schedule.validate(steps: training.steps)
    try evaluation.validate()
    try samples.validate()
    try checkpoint.validate()
    try display.validate()
    try validateStage()
  }

  /// Throws `SettingRangeError` if the ranks of this layout cannot share the work.
  public func validate(_ layout: Layout) throws {
    try SettingRangeError.check(
      training.batch >= layout.data, "training.batch", training.batch,
      "\(layout.data) or more, a sequence for each of the \(layout.data) data ranks")
  }

  private func validateModel() throws {
    try SettingRangeError.check(
      model.vocabulary >= 0, "model.vocabulary", model.vocabulary,
      "2 or more, or 0 for the tokenizer's size")
    // Bounds that keep products of sizes within an Int; far above what a processor can train.
    let largest = 1 << 20
    let sizes = [
      ("vocabulary", model.vocabulary), ("width", model.width), ("layers", model.layers),
      ("heads", model.heads), ("headWidth", model.headWidth), ("denseWidth", model.denseWidth),
      ("router.experts", model.router.experts), ("router.expertWidth", model.router.expertWidth),
      ("router.sharedExperts", model.router.sharedExperts),
    ]
    for (name, size) in sizes {
      try SettingRangeError.check(
        (0...largest).contains(size), "model.\(name)", size, "0 to \(largest)")
    }
    var sized = model
    if sized.vocabulary == 0 { sized.vocabulary = largest }
    do {
      try sized.validate()
    } catch let error as ModelConfigurationError {
      throw SettingRangeError(
        field: error.field, value: error.value, accepted: error.accepted)
    }
  }
}

extension RunSettings {
  static func isNameCharacter(_ character: Character) -> Bool {
    character.isASCII
      && (character.isLetter || character.isNumber || "._-".contains(character))
  }

  package static func isName(_ text: String) -> Bool {
    text.first.map { $0 != "." && $0 != "-" } == true && text.allSatisfy(isNameCharacter)
      && text.utf8.count <= 200
  }

  func validate() throws {
    try SettingRangeError.check(
      name.isEmpty || Self.isName(name), "run.name", SettingValue.text(name).yaml,
      "letters, digits, '.', '_' and '-', not beginning with '.' or '-'")
    try SettingRangeError.check(seed >= 0, "run.seed", seed, "0 or more")
    try SettingRangeError.check(
      (0...1024).contains(threads), "run.threads", threads,
      "1 to 1024, or 0 for processors / ranks")
    try SettingRangeError.check(!folder.isEmpty, "run.folder", "\"\"", "a folder's path")
    try SettingRangeError.check(
      (0...1_000_000).contains(watchdogSeconds), "run.watchdogSeconds", watchdogSeconds,
      "1 to 1000000, or 0 for no watchdog")
  }
}

extension DataConfiguration {
  func validate() throws {
    try SettingRangeError.check(!corpus.isEmpty, "data.corpus", "\"\"", "a path")
    try SettingRangeError.check(!tokenizer.isEmpty, "data.tokenizer", "\"\"", "a path")
    try SettingRangeError.check(
      (2...Self.longestSequence).contains(sequenceLength), "data.sequenceLength", sequenceLength,
      "2 to \(Self.longestSequence)")
  }
}

extension LayoutConfiguration {
  func validate() throws {
    for (name, ranks) in [("tensor", tensor), ("expert", expert), ("expertTensor", expertTensor)] {
      try SettingRangeError.check(
        (1...(1 << 16)).contains(ranks), "layout.\(name)", ranks, "1 to \(1 << 16)")
    }
    for (name, ranks) in [("data", data), ("expertData", expertData)] {
      try SettingRangeError.check(
        (0...(1 << 16)).contains(ranks), "layout.\(name)", ranks,
        "1 to \(1 << 16), or 0 for what follows from the ranks")
    }
  }
}

extension TrainingConfiguration {
  func validate() throws {
    try SettingRangeError.check(
      (1...Self.mostSteps).contains(steps), "training.steps", steps, "1 to \(Self.mostSteps)")
    try SettingRangeError.check(
      (1...(1 << 20)).contains(batch), "training.batch", batch, "1 to \(1 << 20)")
    try SettingRangeError.check(
      (0...batch).contains(microBatch), "training.microBatch", microBatch,
      "1 to training.batch, \(batch), or 0 for a rank's whole share")
  }
}

extension OptimizerConfiguration {
  func validate() throws {
    try SettingRangeError.check(
      learningRate >= 0, "optimizer.learningRate", learningRate, "0 or more")
    for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
      try SettingRangeError.check(
        (0..<1).contains(beta), "optimizer.\(name)", beta, "0 or more, below 1")
    }
    try SettingRangeError.check(epsilon > 0, "optimizer.epsilon", epsilon, "more than 0")
    try SettingRangeError.check(weightDecay >= 0, "optimizer.weightDecay", weightDecay, "0 or more")
    try SettingRangeError.check(clip >= 0, "optimizer.clip", clip, "more than 0, or 0 for none")
  }
}

extension ScheduleConfiguration {
  func validate(steps: Int) throws {
    let most = TrainingConfiguration.mostSteps
    try SettingRangeError.check(
      (0...most).contains(warmup), "schedule.warmup", warmup, "0 to \(most)")
    try SettingRangeError.check((0...1).contains(decay), "schedule.decay", decay, "0 to 1")
    try SettingRangeError.check((0...1).contains(final), "schedule.final", final, "0 to 1")
    let falling = LearningRateSchedule(self, steps: steps).decaySteps
    try SettingRangeError.check(
      kind != .warmupStableDecay || warmup >= steps || warmup + falling <= steps,
      "schedule.decay", decay,
      "at most \(Double(steps - warmup) / Double(steps)), what the warm-up leaves")
  }
}

extension EvaluationConfiguration {
  func validate() throws {
    try SettingRangeError.check(every >= 0, "evaluation.every", every, "0 or more")
    try SettingRangeError.check(windows >= 0, "evaluation.windows", windows, "0 or more")
  }
}

extension SampleConfiguration {
  func validate() throws {
    try SettingRangeError.check(every >= 0, "samples.every", every, "0 or more")
    let most = DataConfiguration.longestSequence
    try SettingRangeError.check(
      (0...most).contains(tokens), "samples.tokens", tokens, "0 to \(most)")
    try SettingRangeError.check(
      !prompt.isEmpty || tokens == 0, "samples.prompt", "\"\"", "text of at least one character")
    try SettingRangeError.check(
      temperature >= 0, "samples.temperature", temperature, "0 or more")
    try SettingRangeError.check(
      topP > 0 && topP <= 1, "samples.topP", topP, "more than 0, at most 1")
  }
}

extension CheckpointConfiguration {
  func validate() throws {
    try SettingRangeError.check(every >= 0, "checkpoint.every", every, "0 or more")
    try SettingRangeError.check(keep >= 0, "checkpoint.keep", keep, "0 or more")
  }
}

extension DisplayConfiguration {
  func validate() throws {
    try SettingRangeError.check(every >= 1, "display.every", every, "1 or more")
    try SettingRangeError.check(routerEvery >= 0, "display.routerEvery", routerEvery, "0 or more")
  }
}
