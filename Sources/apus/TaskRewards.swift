// Rules of toy tasks as rewards: the one place where training meets a task.

import Tasks
import Training

enum TaskRewards {
  /// The rule that `rollout.task` names, where rewards are a task's. Throws for an unknown task, and for
  /// one whose gold reward may only evaluate.
  static func rule(for configuration: RunConfiguration) throws -> AnswerReward? {
    guard configuration.rollout.reward == .task else { return nil }
    let wanted = configuration.rollout.task
    let drawn = try TaskName.allCases.filter { $0 != .lexicon }
      .map { try TaskSettings(name: $0).task() }
    guard let name = TaskName(rawValue: wanted) else {
      throw SettingRangeError(
        field: "rollout.task", value: wanted,
        accepted: drawn.filter(\.goldMayTrain).map(\.name).joined(separator: ", "))
    }
    guard let task = drawn.first(where: { $0.name == name.rawValue }), task.goldMayTrain else {
      throw SettingRangeError(
        field: "rollout.task",
        value: "\(wanted), whose gold reward may only evaluate",
        accepted: "rollout.reward model, with a reward model of preferences")
    }
    guard try configuration.readTokenizer().fingerprint == task.tokenizer.fingerprint else {
      throw SettingRangeError(
        field: "rollout.task",
        value: "\(wanted), whose vocabulary is not that of \(configuration.data.start)",
        accepted: "a model that was trained with the tokenizer.json of 'apus task write \(wanted)'")
    }
    return { prompt, answer in task.gold(answer, to: prompt) }
  }
}
