// What `apus verify layouts` says: a line a layout, as a table or as JSON, and the verdict.

import Kernels
import Parallel
import Training
import Transformer

/// The table of findings, a line at a time.
final class LayoutReport {
  private let bar: Double
  private let showsFloat32: Bool
  private let json: Bool
  private let isShown: Bool
  private var findings: [LayoutFinding] = []

  /// One that is not shown has its verdict all the same.
  init(bar: Double, showsFloat32: Bool, json: Bool, isShown: Bool) {
    self.bar = bar
    self.showsFloat32 = showsFloat32
    self.json = json
    self.isShown = isShown
  }

  func begin(_ configuration: RunConfiguration) {
    guard isShown && !json else { return }
    let model = configuration.model
    say(
      "\(model.layers) layers of \(model.width), \(model.heads) heads, \(model.keyValueHeads) "
        + "key/value heads, \(model.router.experts) experts, top-\(model.router.expertsPerToken); "
        + "batch \(configuration.training.batch) x \(configuration.data.sequenceLength)"
        + (configuration.training.microBatch > 0
          ? " in micro-batches of \(configuration.training.microBatch)" : ""))
    say(
      "precision  ranks data tensor expert-data expert expert-tensor  dispatch  init  loss     "
        + "norm     gradient (worst parameter)")
  }

  func add(_ finding: LayoutFinding) {
    findings.append(finding)
    guard isShown else { return }
    let layout = finding.layout
    if json {
      say(
        JSON.object(
          JSONObject(
            [
              ("layout", .string(layout.description)), ("ranks", .integer(Int64(layout.ranks))),
              ("dispatch", .string(finding.dispatch.rawValue)),
              ("precision", .string(finding.precision.rawValue)),
              ("initial_weights_equal", .boolean(finding.unequal.isEmpty)),
            ] + finding.terms.map { ($0.name, number($0.relative)) } + [
              ("gradient", number(finding.gradient.relative)),
              ("gradient_parameter", .string(finding.gradient.parameter)),
              ("weights", number(finding.weights.relative)),
              ("weights_parameter", .string(finding.weights.parameter)),
              ("passes", .boolean(finding.passes(bar: bar))),
            ])
        ).compact)
      return
    }
    func column(_ value: CustomStringConvertible, _ width: Int) -> String {
      let text = value.description
      return String(repeating: " ", count: max(0, width - text.count)) + text
    }
    func term(_ name: String) -> String {
      Figure.scientific(finding.terms.first { $0.name == name }!.relative, 1)
    }
    say(
      "\(finding.precision.rawValue)   \(column(layout.ranks, 5))\(column(layout.data, 5))"
        + "\(column(layout.tensor, 7))\(column(layout.expertData, 12))\(column(layout.expert, 7))"
        + "\(column(layout.expertTensor, 14))  \(column(finding.dispatch.rawValue, 8))  "
        + (finding.unequal.isEmpty ? "same" : "DIFFERS in \(finding.unequal[0])")
        + "  \(term("loss"))  \(term("norm"))  \(Figure.scientific(finding.gradient.relative, 1)) "
        + "\(finding.gradient.parameter)" + (finding.passes(bar: bar) ? "" : "  FAILS"))
  }

  /// Says the verdict: whether all pass, float64 within the bar.
  func finish() -> Bool {
    let exact = findings.filter { $0.precision == .float64 }
    let passes = !exact.isEmpty && findings.allSatisfy { $0.passes(bar: bar) }
    guard isShown else { return passes }
    let layouts = Set(exact.map(\.layout)).count
    func worst(_ precision: Precision) -> Double {
      findings.filter { $0.precision == precision }.map(\.largest).max() ?? 0
    }
    if json {
      say(
        JSON.object(
          JSONObject([
            ("layouts", .integer(Int64(layouts))), ("worst", number(worst(.float64))),
            ("bar", .number(bar)), ("passes", .boolean(passes)),
          ])
        ).compact)
      return passes
    }
    say(
      "\(layouts) layouts, \(exact.count) with every way to the experts; worst relative difference "
        + "\(Figure.scientific(worst(.float64), 1)) in float64 (bar \(Figure.scientific(bar, 0)))"
        + (showsFloat32 ? ", \(Figure.scientific(worst(.float32), 1)) in float32" : "")
        + ": \(passes ? "passes" : "FAILS")")
    return passes
  }

  private func number(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }
}
