// A checkpoint's model as attacks see it: answers, log-probabilities and gradients of batches.

import Foundation
import Parallel
import Tasks
import Text
import Training
import Transformer

/// A model with a task's vocabulary, ready to be attacked. Every rank asks it alike.
struct AttackTarget {
  /// The run's name, or the folder's where that says more.
  let name: String
  let model: LanguageModel
  private let questions: TaskQuestions

  /// Throws `FileError` for a model with another vocabulary.
  init(_ loaded: LoadedModel, _ task: TaskName) throws {
    var settings = TaskSettings()
    settings.name = task
    questions = try TaskQuestions(settings, for: loaded)
    model = loaded.model
    let folder = URL(fileURLWithPath: loaded.path)
    let isStep = folder.lastPathComponent.hasPrefix("step-")
    name = (isStep ? folder.deletingLastPathComponent() : folder).lastPathComponent
  }

  /// The three questions of an attack whose samples are drawn under `seed`.
  func attacked(seed: UInt64) -> AttackedModel {
    AttackedModel(
      answers: { queries in answers(to: queries, seed: seed) },
      logProbabilities: { model.logProbabilities(of: $0.map(\.modelProbe)) },
      gradients: { model.oneHotGradients(of: $0.map(\.modelProbe)) })
  }

  /// What the model answers, the most probable tokens or a sample.
  func answers(to queries: [AttackQuery], seed: UInt64) -> [[Int32]] {
    var answers = [[Int32]](repeating: [], count: queries.count)
    let isSampled = { queries[$0].sample != nil }
    for (places, temperature) in [
      (queries.indices.filter { !isSampled($0) }, 0.0), (queries.indices.filter(isSampled), 1.0),
    ] where !places.isEmpty {
      var options = questions.sampling(seed: seed, temperature: temperature)
      options.stream = "red team"
      let found = model.generate(
        sharing: places.map { queries[$0].prompt }, options,
        samples: places.map { Int(queries[$0].sample ?? 0) })
      for (place, continuation) in zip(places, found) { answers[place] = continuation.tokens }
    }
    return answers
  }
}

extension AttackProbe {
  fileprivate var modelProbe: PromptProbe {
    PromptProbe(prompt: prompt, target: target, segment: segment)
  }
}
