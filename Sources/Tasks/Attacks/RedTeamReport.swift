// All attacks on one model as lines of JSON: report.jsonl, and hits.jsonl to replay.

import Foundation

/// Results of several attacks on one model, with the controls.
public struct RedTeamReport: Sendable, Equatable {
  /// The model that was attacked, such as the stage's name.
  public let model: String
  public let attacks: [AttackResult]
  public let benign: BenignControl

  public init(model: String, attacks: [AttackResult], benign: BenignControl) {
    self.model = model
    self.attacks = attacks
    self.benign = benign
  }

  /// Lines of `report.jsonl`: of each attack one a goal (`attempt`), then its successes (`attack`);
  /// last the controls (`benign`).
  public func reportLines() throws -> [String] {
    try attacks.flatMap { result in
      try result.outcomes.map { outcome in
        try line(
          "attempt",
          AttemptLine(
            family: result.family, seed: result.seed, goal: outcome.goal,
            queries: outcome.queries, isHit: outcome.hit != nil))
      } + [
        line(
          "attack",
          AttackLine(
            family: result.family, seed: result.seed, budget: result.budget,
            goals: result.outcomes.count, cost: result.cost,
            meanQueriesToSuccess: result.meanQueriesToSuccess,
            success: result.successes.map { SuccessLine(success: $0, sentence: $0.sentence) }))
      ]
    } + [line("benign", benign)]
  }

  /// Lines of `hits.jsonl`: tokens, seed and sample, so that each can be asked again, and the words.
  public func hitLines(_ vocabulary: Vocabulary) throws -> [String] {
    try attacks.flatMap { result in
      try result.hits.map { hit in
        try line(
          "hit",
          HitLine(
            family: result.family, seed: result.seed, hit: hit,
            segmentText: vocabulary.text(of: hit.segment),
            promptText: vocabulary.text(of: hit.prompt),
            answerText: vocabulary.text(of: hit.answer)))
      }
    }
  }

  private func line(_ kind: String, _ body: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(
      decoding: try encoder.encode(ReportLine(kind: kind, model: model, body: body)),
      as: UTF8.self)
  }
}

extension AttackHit {
  /// The seed and the hit that a line of `hits.jsonl` tells of.
  public static func read(line: String) throws -> (seed: UInt64, hit: AttackHit) {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let line = try decoder.decode(HitLine.self, from: Data(line.utf8))
    return (line.seed, line.hit)
  }
}

/// Members of a body beside what kind of line it is and of which model.
private struct ReportLine<Body: Encodable>: Encodable {
  enum CodingKeys: CodingKey { case kind, model }

  let kind: String
  let model: String
  let body: Body

  func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: CodingKeys.self)
    try members.encode(kind, forKey: .kind)
    try members.encode(model, forKey: .model)
    try body.encode(to: encoder)
  }
}

private struct AttemptLine: Encodable {
  let family: AttackFamily
  let seed: UInt64
  let goal: Int
  let queries: Int
  let isHit: Bool
}

private struct AttackLine: Encodable {
  let family: AttackFamily
  let seed: UInt64
  let budget: Int
  let goals: Int
  let cost: AttackCost
  let meanQueriesToSuccess: Double?
  let success: [SuccessLine]
}

private struct SuccessLine: Encodable {
  enum CodingKeys: CodingKey { case sentence }

  let success: AttackSuccess
  let sentence: String

  func encode(to encoder: any Encoder) throws {
    try success.encode(to: encoder)
    var members = encoder.container(keyedBy: CodingKeys.self)
    try members.encode(sentence, forKey: .sentence)
  }
}

private struct HitLine: Codable {
  let family: AttackFamily
  let seed: UInt64
  let hit: AttackHit
  let segmentText: String
  let promptText: String
  let answerText: String
}
