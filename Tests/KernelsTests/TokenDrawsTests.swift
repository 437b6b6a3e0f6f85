// Draws of tokens against a full sort in Double.

import Foundation
import Kernels
import Testing

/// Logits, sorted by falling probability where tokens are left out, walked until the draw is reached.
private func reference(_ logits: [Double], at draw: Double, _ rule: DrawRule) -> Int32 {
  let highest = logits.max()!
  guard rule.temperature > 0 else { return Int32(logits.firstIndex(of: highest)!) }
  var order = Array(logits.indices)
  if rule.topK > 0 || rule.topP < 1 {
    order.sort { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
    if rule.topK > 0 { order = Array(order.prefix(rule.topK)) }
  }
  var weights = order.map { exp((logits[$0] - highest) / rule.temperature) }
  if rule.topP < 1 {
    let all = weights.reduce(0, +)
    var reached = 0.0
    let kept = weights.firstIndex { weight in
      reached += weight
      return reached >= rule.topP * all
    }
    weights = Array(weights.prefix((kept ?? weights.count - 1) + 1))
  }
  let target = draw * weights.reduce(0, +)
  var reached = 0.0
  for (index, weight) in weights.enumerated() {
    reached += weight
    if target < reached { return Int32(order[index]) }
  }
  return Int32(order[weights.count - 1])
}

private let rules = [
  DrawRule(temperature: 1, topK: 0, topP: 1), DrawRule(temperature: 0, topK: 0, topP: 1),
  DrawRule(temperature: 0.4, topK: 1, topP: 1), DrawRule(temperature: 1.7, topK: 9, topP: 1),
  DrawRule(temperature: 1, topK: 5000, topP: 1), DrawRule(temperature: 0.8, topK: 0, topP: 0.9),
  DrawRule(temperature: 1, topK: 0, topP: 0.999_999), DrawRule(temperature: 2, topK: 40, topP: 0.5),
  DrawRule(temperature: 1, topK: 0, topP: 1e-9), DrawRule(temperature: 1e-3, topK: 0, topP: 0.99),
]

@Test(arguments: Precision.allCases, [1, 2, 37, 64, 65, 1000, 4099])
func `a draw is that of a full sort`(_ precision: Precision, _ vocabulary: Int) {
  let rows = vocabulary > 1000 ? 40 : 200
  let logits = Sample(
    random: 5, Shape(rows: rows, columns: vocabulary, gap: 2, precision: precision))
  // Some rows with ties, one hopeless token, and probabilities far apart.
  for row in 0..<rows {
    for column in 0..<vocabulary {
      if row % 4 == 1 { logits[row, column] = (2 * logits[row, column]).rounded() }
      if row % 4 == 2 { logits[row, column] *= 30 }
    }
    if vocabulary > 1 { logits[row, row % vocabulary] = -.infinity }
  }
  let key = RandomKey(seed: 1, name: "draws")
  var draws = (0..<rows).map { uniform(key, counter: UInt64($0)) }
  draws[0] = 0
  draws[rows - 1] = 1 - 1e-9
  for rule in rules {
    let expected = (0..<rows).map { row in
      reference((0..<vocabulary).map { logits[row, $0] }, at: draws[row], rule)
    }
    for size in [1, 2] {
      var tokens = [Int32](repeating: -1, count: rows)
      drawTokens(logits.matrix, at: draws, rule, into: &tokens, team: ThreadTeam(size: size))
      #expect(tokens == expected, "\(rule)")
    }
  }
}

@Test func `tokens are drawn as often as they are probable`() {
  let probabilities = [0.5, 0.25, 0.125, 0.125]
  let count = 40_000
  let logits = Sample(count, 4, .float32) { _, column in log(probabilities[column]) + 3 }
  let key = RandomKey(seed: 2, name: "draws")
  var tokens = [Int32](repeating: -1, count: count)
  drawTokens(
    logits.matrix, at: (0..<count).map { uniform(key, counter: UInt64($0)) },
    DrawRule(temperature: 1, topK: 0, topP: 1), into: &tokens, team: ThreadTeam(size: 2))
  withExtendedLifetime(logits) {
    for (token, probability) in probabilities.enumerated() {
      let share = Double(tokens.count(where: { $0 == Int32(token) })) / Double(count)
      let error = (probability * (1 - probability) / Double(count)).squareRoot()
      #expect(abs(share - probability) <= 5 * error)
    }
  }
}

@Test func `logits that are no numbers give a token all the same`() {
  let logits = Sample(2, 70, .float64) { row, _ in row == 0 ? .nan : -.infinity }
  for rule in rules {
    var tokens: [Int32] = [-1, -1]
    drawTokens(logits.matrix, at: [0.5, 0.5], rule, into: &tokens, team: ThreadTeam(size: 1))
    #expect(tokens.allSatisfy { 0..<70 ~= Int($0) })
  }
}
