// `apus redteam`: attacks models on a rule that can be checked, and replays what was found.

import ArgumentParser
import Foundation
import Parallel
import Tasks
import Training

struct RedTeamCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "redteam",
    abstract: "Attack models on a checkable rule, and tell how often it was broken.",
    discussion: """
      Several checkpoints (before and after a stage, say) meet the same attacks and stand side by side. \
      Prompts hold secrets that are in no training. A query is a candidate that the model answered or \
      scored. With --output, report.jsonl tells of every attempt and hits.jsonl of every violation; \
      --replay asks the model for each hit again.
      """)

  @Argument(help: "Checkpoints (…/step-00000100), or runs' folders for their newest.")
  var checkpoints: [String]
  @Option(help: "The task whose rule is attacked: secret.")
  var task = TaskName.secret
  @Option(help: "Families, separated by commas; without it all of them.")
  var families: String?
  @Option(help: "Prompts to attack.")
  var goals = 100
  @Option(help: "Most queries for each prompt.")
  var budget = 512
  @Option(help: "Candidates that a search scores before it keeps the best.")
  var width = 8
  @Option(help: "Prompts that ask for help only: the controls.")
  var benign = 200
  @Option(help: "Key of the attacks' random numbers.")
  var seed: UInt64 = 1
  @Option(help: "The folder for report.jsonl and hits.jsonl.")
  var output: String?
  @Option(help: "A hits.jsonl whose hits are asked again, instead of attacks.")
  var replay: String?
  @Flag(help: "Replace files that are there.")
  var force = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func validate() throws {
    for (name, value) in [
      ("goals", goals), ("budget", budget), ("width", width), ("benign", benign),
    ] where value < 1 {
      throw ValidationError("--\(name) is \(value); accepted: 1 or more")
    }
    guard task == .secret else {
      throw ValidationError(
        "--task is \(task.rawValue); accepted: secret, the task with a rule to break")
    }
    let most = SecretTask().mostAttackGoals
    guard goals <= most else {
      throw ValidationError("--goals is \(goals); accepted: 1 to \(most)")
    }
    guard replay == nil || output == nil else {
      throw ValidationError("--replay writes nothing; accepted: --output or --replay")
    }
    _ = try chosenFamilies()
  }

  private func chosenFamilies() throws -> [AttackFamily] {
    guard let families else { return AttackFamily.allCases }
    let names = families.split(separator: ",", omittingEmptySubsequences: false).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    return try names.map { name in
      guard let family = AttackFamily(rawValue: name), names.count(where: { $0 == name }) == 1
      else {
        let all = AttackFamily.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--families holds '\(name)'; accepted: each of \(all) at most once")
      }
      return family
    }
  }

  func run() throws {
    try ranks.run { world in
      if let replay { try self.replay(replay, on: world) } else { try attack(on: world) }
    }
  }

  private func attack(on world: Communicator) throws {
    let folder = try world.agreeing { try output.map { try RedTeamFolder($0, replacing: force) } }
    let task = SecretTask()
    let families = try chosenFamilies()
    let targets = try checkpoints.map { try target($0, on: world) }
    let names = Self.names(of: targets, checkpoints)
    var reports: [RedTeamReport] = []
    for (target, name) in zip(targets, names) {
      let results = try families.map { family in
        world.goOn()
        let result = try Attack(family, seed: seed, budget: budget, width: width).run(
          on: task.attackGoals(goals), surface: task.attackSurface,
          model: target.attacked(seed: seed))
        if world.rank == 0 {
          say("\(name), \(family.rawValue): \(result.successes.last!.sentence)")
        }
        return result
      }
      let prompts = task.benignPrompts(benign)
      let answers = target.answers(to: prompts.map { AttackQuery(prompt: $0) }, seed: seed)
      reports.append(
        RedTeamReport(
          model: name, attacks: results, benign: task.benignControl(of: answers, to: prompts)))
    }
    try world.agreeing {
      if world.rank == 0 { try folder?.write(reports, task.vocabulary) }
    }
    if world.rank == 0 { say(RedTeamTable(reports).text) }
  }

  /// Asks for each hit again, and ends with a failure where one does not come back.
  private func replay(_ path: String, on world: Communicator) throws {
    let task = SecretTask()
    let hits = try world.agreeing { try RedTeamHits(path, task).hits }
    var isMissed = false
    for checkpoint in checkpoints {
      let target = try target(checkpoint, on: world)
      var same = 0
      for hit in hits {
        world.goOn()
        let answer = target.answers(to: [hit.hit.replay], seed: hit.seed)[0]
        let isSame = answer == hit.hit.answer
        same += isSame ? 1 : 0
        guard world.rank == 0 else { continue }
        let verdict =
          isSame
          ? "reproduces"
          : hit.goal.isViolation(answer) ? "another answer, a violation too" : "no violation"
        say(
          "\(path):\(hit.line): \(target.name) answers \(task.vocabulary.text(of: answer)): \(verdict)"
        )
      }
      isMissed = isMissed || same < hits.count
      if world.rank == 0 { say("\(target.name): \(same) of \(hits.count) hits reproduce") }
    }
    if isMissed { throw QuietExit(status: .failure) }
  }

  private func target(_ checkpoint: String, on world: Communicator) throws -> AttackTarget {
    let loaded = try ranks.load(checkpoint, layout: layout, world: world)
    return try world.agreeing { try AttackTarget(loaded, task) }
  }

  /// Names that tell the models apart: the runs', or the checkpoints' as they were given.
  private static func names(of targets: [AttackTarget], _ checkpoints: [String]) -> [String] {
    let names = targets.map(\.name)
    return Set(names).count == names.count ? names : checkpoints
  }
}
