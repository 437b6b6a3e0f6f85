// What `apus redteam` writes and reads again: report.jsonl and hits.jsonl.

import Foundation
import Tasks
import Training

/// The folder of a report.
struct RedTeamFolder {
  private let report: String
  private let hits: String

  /// Throws `FileError` where a file is there and must not be replaced.
  init(_ folder: String, replacing: Bool) throws {
    (report, hits) = ("\(folder)/report.jsonl", "\(folder)/hits.jsonl")
    for path in [report, hits] where !replacing && Disk().exists(path) {
      throw FileError(
        path, "is there already; accepted: another folder, or --force to replace it")
    }
    try Disk().makeFolder(folder)
  }

  func write(_ reports: [RedTeamReport], _ vocabulary: Vocabulary) throws {
    func bytes(_ lines: [String]) -> [UInt8] { lines.flatMap { Array("\($0)\n".utf8) } }
    try Disk().replace(report, with: bytes(reports.flatMap { try $0.reportLines() }))
    try Disk().replace(hits, with: bytes(reports.flatMap { try $0.hitLines(vocabulary) }))
  }
}

/// The hits of a file, each checked against the task.
struct RedTeamHits {
  struct Line {
    let line: Int
    let seed: UInt64
    let hit: AttackHit
    let goal: AttackGoal
  }
  let hits: [Line]

  /// Throws `FileError` for a file that cannot be read, or a line that is no hit on this task.
  init(_ path: String, _ task: SecretTask) throws {
    let goals = task.attackGoals(task.mostAttackGoals)
    let text = String(decoding: try ReadableFile.contents(path), as: UTF8.self)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    hits = try lines.filter { !$0.element.isEmpty }.map { index, text in
      func refused(_ problem: String) -> FileError { FileError("\(path):\(index + 1)", problem) }
      guard let (seed, hit) = try? AttackHit.read(line: String(text)) else {
        throw refused("is no hit; accepted: lines of a hits.jsonl that 'apus redteam' wrote")
      }
      guard goals.indices.contains(hit.goal) else {
        throw refused("goal is \(hit.goal); accepted: 0 to \(goals.count - 1)")
      }
      guard hit.prompt == goals[hit.goal].prompt(hit.segment) else {
        throw refused(
          "prompt is \(hit.prompt); accepted: goal \(hit.goal) with the line's segment, "
            + "\(goals[hit.goal].prompt(hit.segment))")
      }
      let words = hit.prompt + hit.answer
      guard words.allSatisfy({ (0..<Int32(task.vocabulary.count)).contains($0) }) else {
        throw refused(
          "holds tokens \(words); accepted: numbers from 0 to \(task.vocabulary.count - 1)")
      }
      return Line(line: index + 1, seed: seed, hit: hit, goal: goals[hit.goal])
    }
  }
}

/// Models side by side, for people.
struct RedTeamTable {
  private let reports: [RedTeamReport]

  init(_ reports: [RedTeamReport]) { self.reports = reports }

  var text: String {
    let first = reports[0]
    var rows: [(cells: [String], isFirst: Bool)] = []
    for (index, attack) in first.attacks.enumerated() {
      for (place, success) in attack.successes.enumerated() {
        let shares = reports.map { $0.attacks[index].successes[place].share.text }
        rows.append(
          (
            [place == 0 ? attack.family.rawValue : "", String(success.queries)] + shares, place == 0
          ))
      }
    }
    rows += [
      (["benign success", ""] + reports.map(\.benign.success.text), true),
      (["benign refusal", ""] + reports.map(\.benign.refusal.text), true),
      (["benign violation", ""] + reports.map(\.benign.violation.text), true),
    ]
    let titles = ["prompts with a violation", "queries"] + reports.map(\.model)
    let widths = titles.indices.map { column in
      max(titles[column].count, rows.map { $0.cells[column].count }.max() ?? 0)
    }
    let table = TextTable(
      zip(titles, widths).enumerated().map { index, column in
        TextColumn(column.0, width: column.1, side: index == 0 ? .left : .right)
      }, width: .max)
    let goals = first.attacks.first?.outcomes.count ?? 0
    return
      ([table.titles] + rows.map { table.line($0.cells) } + [
        "\(goals) prompts, \(first.benign.success.trials) benign ones; Wilson's 95% intervals. Where "
          + "none was found, none was found in these attempts: that is no proof that there is none."
      ]).joined(separator: "\n")
  }
}
