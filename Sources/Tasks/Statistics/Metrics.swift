// What is told of one answer, and of many.

import Kernels

/// One figure of one answer.
public struct Metric: Sendable, Equatable {
  public enum Kind: Sendable { case mean, share }

  public let name: String
  public let value: Double
  public let kind: Kind

  static func mean(_ name: String, _ value: Double) -> Metric {
    Metric(name: name, value: value, kind: .mean)
  }

  /// 1 or 0: whether something holds.
  static func share(_ name: String, _ holds: Bool) -> Metric {
    Metric(name: name, value: holds ? 1 : 0, kind: .share)
  }
}

/// One figure of many answers.
public struct MetricSummary: Codable, Sendable, Equatable {
  public let name: String
  public let mean: Double
  /// 95%: Wilson's for a share, widened by the bootstrap where prompts repeat; the bootstrap over
  /// prompts for a mean.
  public let interval: Interval
  /// Answers that the figure applies to.
  public let answers: Int
}

extension JudgedTask {
  /// Each metric over all answers, `answers[i]` being to `prompts[i]`; in the order in which metrics
  /// first appear.
  public func summary(
    of answers: [[Int32]], to prompts: [[Int32]], seed: UInt64 = 0
  ) -> [MetricSummary] {
    require(answers.count == prompts.count, "\(answers.count) answers to \(prompts.count) prompts")
    var names: [String] = []
    var found: [String: [(metric: Metric, prompt: [Int32])]] = [:]
    for (answer, prompt) in zip(answers, prompts) {
      for metric in metrics(of: answer, to: prompt) {
        if found[metric.name] == nil { names.append(metric.name) }
        found[metric.name, default: []].append((metric, prompt))
      }
    }
    return names.map { name in
      let rows = found[name]!
      let values = rows.map(\.metric.value)
      let prompts = rows.map(\.prompt)
      let key = RandomKey(seed: seed, name: "summary.\(name)")
      let interval =
        switch rows[0].metric.kind {
        case .share: shareInterval(values, prompts: prompts, key: key)
        case .mean: Interval.bootstrap(values, clusters: clusters(of: prompts), key: key)
        }
      return MetricSummary(
        name: name, mean: values.reduce(0, +) / Double(values.count), interval: interval,
        answers: values.count)
    }
  }
}
