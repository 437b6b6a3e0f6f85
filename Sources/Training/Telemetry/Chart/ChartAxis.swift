// One axis: its range, where its ticks stand, and what is written at them.

import Foundation

/// Maps values to 0 … 1 and names round ones.
package struct ChartAxis: Sendable {
  package struct Tick: Sendable, Equatable {
    package let value: Double
    package let label: String
  }

  package let range: ClosedRange<Double>
  package let scale: ChartPanel.Scale
  package let ticks: [Tick]

  /// About `count` ticks; `widens` gives lines some room: to the next tick when it is near.
  package init(
    covering given: ClosedRange<Double>, scale: ChartPanel.Scale, ticks count: Int, widens: Bool
  ) {
    self.scale = scale
    switch scale {
    case .linear:
      (range, ticks) = ChartAxis.linear(given, count, widens)
    case .logarithmic:
      (range, ticks) = ChartAxis.logarithmic(given, count, widens)
    }
  }

  /// Place on the axis: 0 at its start, 1 at its end.
  package func place(_ value: Double) -> Double {
    switch scale {
    case .linear:
      (value - range.lowerBound) / (range.upperBound - range.lowerBound)
    case .logarithmic:
      log(max(value, .leastNormalMagnitude) / range.lowerBound)
        / log(range.upperBound / range.lowerBound)
    }
  }

  private static func linear(
    _ given: ClosedRange<Double>, _ count: Int, _ widens: Bool
  ) -> (ClosedRange<Double>, [Tick]) {
    var (low, high) = (given.lowerBound, given.upperBound)
    if !(high - low > 1e-12 * max(abs(low), abs(high))) {
      let margin = low == 0 ? 1 : abs(low) * 0.1
      (low, high) = (low - margin, high + margin)
    }
    let step = roundStep((high - low) / Double(max(count, 1)))
    if widens {
      // A line may lie on zero, not beyond it where no value is.
      let below = floor(low / step + 1e-9) * step
      let above = ceil(high / step - 1e-9) * step
      let margin = (high - low) * 0.05
      let start = low - below < 0.4 * step ? below : low - margin
      let end = above - high < 0.4 * step ? above : high + margin
      (low, high) = (low >= 0 ? max(start, 0) : start, high <= 0 ? min(end, 0) : end)
    }
    let tolerance = step * 1e-6
    let first = Int(ceil((low - tolerance) / step))
    let last = Int(floor((high + tolerance) / step))
    guard first <= last else { return (low...high, []) }
    let ticks = (first...last).map { index in
      Tick(value: Double(index) * step, label: label(Double(index) * step, step: step))
    }
    return (low...high, ticks)
  }

  private static func logarithmic(
    _ given: ClosedRange<Double>, _ count: Int, _ widens: Bool
  ) -> (ClosedRange<Double>, [Tick]) {
    var low = max(given.lowerBound, .leastNormalMagnitude)
    var high = max(given.upperBound, low)
    if high / low < 1.05 { (low, high) = (low / 1.5, high * 1.5) }
    let decades = log10(high / low)
    // Few decades: 1, 2, 5; else every so many powers of ten.
    let steps: [Double] = decades <= 0.7 ? [1, 1.5, 2, 3, 5, 7] : decades <= 2 ? [1, 2, 5] : [1]
    let every = max(1, Int((decades / Double(max(count, 1))).rounded(.up)))
    var values: [Double] = []
    for exponent in Int(floor(log10(low))) - 1...Int(ceil(log10(high))) + 1
    where exponent % every == 0 {
      values += steps.map { $0 * pow(10, Double(exponent)) }
    }
    if widens {
      low = values.last { $0 <= low * 1.02 } ?? low
      high = values.first { $0 >= high / 1.02 } ?? high
    }
    let inside = values.filter { $0 >= low * 0.999 && $0 <= high * 1.001 }
    return (low...high, inside.map { Tick(value: $0, label: label($0, step: $0)) })
  }

  /// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least nine tenths of `width`.
  package static func roundStep(_ width: Double) -> Double {
    let power = pow(10, floor(log10(width)))
    let factors = [1, 2, 2.5, 5, 10]
    return power * (factors.first { $0 * power >= width * 0.9 } ?? 10)
  }

  /// Just the digits that tell ticks apart.
  private static func label(_ value: Double, step: Double) -> String {
    if abs(value) < step * 1e-6 { return "0" }
    let size = abs(value)
    if size >= 10000, step >= 100 {
      let unit = size >= 1e6 && step >= 1e4 ? (1e6, "M") : (1e3, "k")
      return trimmed(Figure.fixed(value / unit.0, 2)) + unit.1
    }
    if step < 1e-3 { return scientific(value) }
    // As many digits as the step has, so that all labels of an axis have the same.
    let digits = (0...6).first { digits in
      let scaled = step * pow(10, Double(digits))
      return abs(scaled - scaled.rounded()) < 1e-6 * scaled
    }
    return Figure.fixed(value, digits ?? 6)
  }

  /// As short as it goes: `3e-4`, `2.5e-12`.
  package static func scientific(_ value: Double) -> String {
    let parts = Figure.scientific(value, 2).split(separator: "e")
    guard parts.count == 2, let exponent = Int(parts[1]) else { return Figure.fixed(value, 0) }
    return trimmed(String(parts[0])) + "e\(exponent)"
  }

  /// Without zeros at the end.
  private static func trimmed(_ text: String) -> String {
    guard let point = text.firstIndex(of: ".") else { return text }
    var digits = text[text.index(after: point)...]
    while digits.last == "0" { digits.removeLast() }
    return digits.isEmpty ? String(text[..<point]) : "\(text[..<point]).\(digits)"
  }
}
