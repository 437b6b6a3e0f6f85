// A chart as SVG: where everything stands.

import Foundation

/// Lays a chart out and writes it.
struct ChartDrawing {
  private let chart: Chart
  private static let width = 960.0
  private static let margin = 28.0
  /// Room for the numbers on the left of a panel, and for the last values on its right.
  private static let numbers = 46.0
  private static let ends = 54.0
  private static let largeHeight = 340.0
  private static let smallHeight = 132.0
  /// From a panel's lower edge to the next one's title.
  private static let foot = 68.0

  init(_ chart: Chart) { self.chart = chart }

  var svg: String {
    var body = ""
    var y = Self.margin + 18
    body += SVG.text(chart.title, x: Self.margin, y: y, classes: "title")
    if !chart.subtitle.isEmpty {
      y += 22
      body += SVG.text(chart.subtitle, x: Self.margin, y: y, classes: "soft")
    }
    y += 26
    body += legend(&y)
    y += 46

    let left = Self.margin + Self.numbers
    let inner = Self.width - left - Self.margin - Self.ends
    let horizontal = horizontalAxis(ticks: 8)
    body += PanelDrawing(
      chart.panel, horizontal: horizontal, label: chart.horizontal,
      frame: SVG.Frame(x: left, y: y, width: inner, height: Self.largeHeight)
    ).svg(identifier: "panel0")
    y += Self.largeHeight + Self.foot

    let columns = Double(max(1, min(3, chart.smallPanels.count)))
    let cell = (Self.width - 2 * Self.margin - (columns - 1) * 12) / columns
    for start in stride(from: 0, to: chart.smallPanels.count, by: 3) {
      y += 10
      for place in start..<min(start + 3, chart.smallPanels.count) {
        let x = Self.margin + Double(place - start) * (cell + 12)
        let frame = SVG.Frame(
          x: x + Self.numbers, y: y, width: cell - Self.numbers - Self.ends,
          height: Self.smallHeight)
        body += PanelDrawing(
          chart.smallPanels[place], horizontal: horizontalAxis(ticks: columns < 2 ? 8 : 3),
          label: chart.horizontal, frame: frame
        ).svg(identifier: "panel\(place + 1)")
      }
      y += Self.smallHeight + Self.foot
    }
    return SVG.document(
      width: Self.width, height: y - Self.foot + 52, title: chart.title, body: body)
  }

  /// All panels show the same steps.
  private func horizontalAxis(ticks: Int) -> ChartAxis {
    var low = Double.infinity
    var high = -Double.infinity
    for panel in [chart.panel] + chart.smallPanels {
      let lines = panel.series.map(\.points) + panel.bands.flatMap { [$0.lower, $0.upper] }
      for point in lines.joined() where point.x.isFinite {
        low = min(low, point.x)
        high = max(high, point.x)
      }
    }
    if low > high { (low, high) = (0, 1) }
    // Steps start at 1; the axis starts at 0, unless the runs start far from it.
    if low > 0, low <= 0.1 * high { low = 0 }
    return ChartAxis(covering: low...high, scale: .linear, ticks: ticks, widens: false)
  }

  /// Keys side by side, in as many lines as they need.
  private func legend(_ y: inout Double) -> String {
    var body = ""
    var x = Self.margin
    for key in chart.legend {
      let width = 34 + SVG.width(of: key.name, size: 13) + 22
      if x + width > Self.width - Self.margin, x > Self.margin {
        x = Self.margin
        y += 22
      }
      let colour = key.colour.map { SVG.colour($0) } ?? "any"
      let middle = y - 4.5
      switch key.sample {
      case .area:
        body += "<rect class=\"band \(colour)\" x=\"\(SVG.number(x))\" "
        body += "y=\"\(SVG.number(middle - 6))\" width=\"26\" height=\"12\" rx=\"2\"/>\n"
      case .line(let stroke):
        body += "<path class=\"line \(SVG.name(stroke)) \(colour)\" "
        body += "d=\"M\(SVG.number(x)) \(SVG.number(middle))h26\"/>\n"
        if stroke == .marked { body += SVG.mark(x: x + 13, y: middle, colour: colour, title: nil) }
      }
      body += SVG.text(key.name, x: x + 34, y: y, classes: "key")
      x += width
    }
    return body
  }
}
