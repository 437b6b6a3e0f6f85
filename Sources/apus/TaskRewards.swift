// Rules of toy tasks as rewards: the one place where training meets a task.

import Tasks
import Training

enum TaskRewards {
  /// The rule that `rollout.task` names, where rewards are a task's. Throws for an unknown task, and for
  /// one whose gold reward may only evaluate.
  static func rule(for configuration: RunConfiguration) throws -> AnswerReward? {
    guard configuration.rollout.reward == .task else { return nil }
    let tasks: [any ToyTask] = [SortTask(), ReverseTask(), ColouredWords(), SecretTask()]
    let wanted = configuration.rollout.task
    guard let task = tasks.first(where: { $0.name == wanted }) else {
      throw SettingRangeError(
        field: "rollout.task", value: wanted,
        accepted: tasks.filter(\.goldMayTrain).map(\.name).joined(separator: ", "))
    }
    guard task.goldMayTrain else {
      throw SettingRangeError(
        field: "rollout.task",
        value: "\(wanted), whose gold reward may only evaluate",
        accepted: "rollout.reward model, with a reward model of preferences")
    }
    return { prompt, answer in task.gold(answer, to: prompt) }
  }
}
