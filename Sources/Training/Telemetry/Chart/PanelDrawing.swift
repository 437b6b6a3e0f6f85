// One panel as SVG: grid, bands, lines, the last value of each line.

import Foundation

/// Draws a panel into its frame.
struct PanelDrawing {
  private let panel: ChartPanel
  private let horizontal: ChartAxis
  private let vertical: ChartAxis
  private let label: String
  private let frame: SVG.Frame

  init(_ panel: ChartPanel, horizontal: ChartAxis, label: String, frame: SVG.Frame) {
    self.panel = panel
    self.horizontal = horizontal
    self.label = label
    self.frame = frame
    vertical = ChartAxis(
      covering: panel.range ?? PanelDrawing.range(panel), scale: panel.scale,
      ticks: max(3, Int(frame.height / 45)), widens: panel.range == nil)
  }

  /// `identifier` names the clipping path within the file.
  func svg(identifier: String) -> String {
    var body = "<g>\n"
    body += SVG.text(
      panel.title, x: frame.x - 46, y: frame.y - 14, classes: "caption")
    body += axes()
    let (x, y) = (SVG.number(frame.x), SVG.number(frame.y - 1))
    let (width, height) = (SVG.number(frame.width + 5), SVG.number(frame.height + 2))
    body += "<clipPath id=\"\(identifier)\"><rect x=\"\(x)\" y=\"\(y)\" "
    body += "width=\"\(width)\" height=\"\(height)\"/></clipPath>\n"
    body += "<g clip-path=\"url(#\(identifier))\">\n"
    for band in panel.bands { body += area(band) }
    // Faint lines lie behind the others.
    let sorted =
      panel.series.filter { $0.stroke == .faint } + panel.series.filter { $0.stroke != .faint }
    for series in sorted { body += line(series) }
    body += "</g>\n"
    body += cutNote() + lastValues()
    return body + "</g>\n"
  }

  private func place(_ point: ChartPoint) -> (x: Double, y: Double) {
    (
      frame.x + horizontal.place(point.x) * frame.width,
      frame.y + (1 - vertical.place(point.y)) * frame.height
    )
  }

  private func axes() -> String {
    var body = ""
    for tick in vertical.ticks {
      let y = frame.y + (1 - vertical.place(tick.value)) * frame.height
      body += "<path class=\"grid\" d=\"M\(SVG.number(frame.x)) \(SVG.number(y))"
      body += "h\(SVG.number(frame.width))\"/>\n"
      body += SVG.text(tick.label, x: frame.x - 8, y: y + 4, classes: "tick end")
    }
    let bottom = frame.y + frame.height
    body += "<path class=\"axis\" d=\"M\(SVG.number(frame.x)) \(SVG.number(bottom))"
    body += "h\(SVG.number(frame.width))\"/>\n"
    for tick in horizontal.ticks {
      let x = frame.x + horizontal.place(tick.value) * frame.width
      body += "<path class=\"axis\" d=\"M\(SVG.number(x)) \(SVG.number(bottom))v5\"/>\n"
      body += SVG.text(tick.label, x: x, y: bottom + 19, classes: "tick middle")
    }
    body += SVG.text(
      label, x: frame.x + frame.width / 2, y: bottom + 36, classes: "tick middle")
    return body
  }

  /// Says where the lines come from when their start is above the panel.
  private func cutNote() -> String {
    let top = vertical.range.upperBound
    let lines = panel.series.filter { $0.stroke != .faint }.map { $0.points.filter(isShown) }
    let cut = lines.filter { ($0.first?.y ?? top) > top }
    guard let highest = cut.compactMap(\.first).max(by: { $0.y < $1.y }) else { return "" }
    let text = "↑ from \(PanelDrawing.value(highest.y)) at \(label) \(Figure.fixed(highest.x, 0))"
    // Right of where the last of them comes in.
    let entries = cut.compactMap { line in line.first { $0.y <= top } }
    let entry = entries.map { place($0).x }.max() ?? frame.x
    return SVG.text(text, x: entry + 14, y: frame.y + 10, classes: "tick")
  }

  private func area(_ band: ChartBand) -> String {
    let lower = thinned(band.lower.filter(isShown)).map(place)
    let upper = thinned(band.upper.filter(isShown)).map(place)
    guard let first = upper.first else { return "" }
    var path = "M\(SVG.number(first.x)) \(SVG.number(first.y))"
    for point in upper.dropFirst() + lower.reversed() {
      path += "L\(SVG.number(point.x)) \(SVG.number(point.y))"
    }
    return "<path class=\"band \(SVG.colour(band.colour))\" d=\"\(path)Z\"/>\n"
  }

  private func line(_ series: ChartSeries) -> String {
    let colour = SVG.colour(series.colour)
    var path = ""
    for run in series.points.split(whereSeparator: { !isShown($0) }) {
      for (index, point) in thinned(Array(run)).enumerated() {
        let (x, y) = place(point)
        path += "\(index == 0 ? "M" : "L")\(SVG.number(x)) \(SVG.number(y))"
      }
    }
    guard !path.isEmpty else { return "" }
    let dashes = series.colour >= SVG.colours ? " repeated" : ""
    var body =
      "<path class=\"line \(SVG.name(series.stroke)) \(colour)\(dashes)\" d=\"\(path)\"/>\n"
    if series.stroke == .marked {
      let shown = series.points.filter(isShown)
      // Many points: the line says it all.
      if Double(shown.count) * 9 <= frame.width {
        for point in shown {
          let (x, y) = place(point)
          let value = Figure.fitted(point.y, 4, width: 9)
          let title = "\(series.name), \(label) \(Figure.fixed(point.x, 0)): \(value)"
          body += SVG.mark(x: x, y: y, colour: colour, title: title)
        }
      }
    }
    return body
  }

  private func isShown(_ point: ChartPoint) -> Bool {
    point.x.isFinite && point.y.isFinite && (panel.scale == .linear || point.y > 0)
  }

  /// No more than four points for a unit of the picture: first, lowest, highest, last.
  private func thinned(_ points: [ChartPoint]) -> [ChartPoint] {
    guard Double(points.count) > 4 * frame.width else { return points }
    var result: [ChartPoint] = []
    var start = 0
    while start < points.count {
      let unit = floor(horizontal.place(points[start].x) * frame.width)
      var end = start
      while end < points.count, floor(horizontal.place(points[end].x) * frame.width) == unit {
        end += 1
      }
      // Points left of the frame, or a jump back, still move on.
      end = max(end, start + 1)
      let places = start..<end
      let low = places.min { points[$0].y < points[$1].y }!
      let high = places.max { points[$0].y < points[$1].y }!
      for place in Set([start, low, high, end - 1]).sorted() { result.append(points[place]) }
      start = end
    }
    return result
  }

  /// What each line ends at, right of the frame, moved apart where two would overlap.
  private func lastValues() -> String {
    let drawn = panel.series.filter { $0.stroke != .faint }
    guard !drawn.isEmpty, drawn.count <= 8 else { return "" }
    var labels: [(y: Double, text: String, colour: Int)] = []
    for series in drawn {
      guard let last = series.points.last(where: isShown) else { continue }
      let y = min(max(place(last).y, frame.y), frame.y + frame.height)
      labels.append((y, PanelDrawing.value(last.y), series.colour))
    }
    // Lines that end alike share a label.
    let groups = Dictionary(grouping: labels, by: \.text).values.map { group in
      let isOne = group.allSatisfy { $0.colour == group[0].colour }
      return (
        y: group.reduce(0) { $0 + $1.y } / Double(group.count), text: group[0].text,
        classes: isOne ? SVG.colour(group[0].colour) : "any"
      )
    }
    var placed = groups.sorted { ($0.y, $0.text) < ($1.y, $1.text) }
    let gap = 14.0
    for index in placed.indices.dropFirst() {
      placed[index].y = max(placed[index].y, placed[index - 1].y + gap)
    }
    // Whatever was pushed below the axis moves all up.
    var limit = frame.y + frame.height
    for index in placed.indices.reversed() {
      placed[index].y = min(placed[index].y, limit)
      limit = placed[index].y - gap
    }
    return placed.map {
      SVG.text(
        $0.text, x: frame.x + frame.width + 9, y: $0.y + 4,
        classes: "value \($0.classes)")
    }.joined()
  }

  private static func value(_ value: Double) -> String {
    let size = abs(value)
    if value == 0 { return "0" }
    return size >= 0.01 && size < 1000
      ? Figure.fixed(value, size < 10 ? 3 : 1) : ChartAxis.scientific(value)
  }

  /// Of all that is not faint; the faint lines alone where there is nothing else.
  private static func range(_ panel: ChartPanel) -> ClosedRange<Double> {
    let clear = panel.series.filter { $0.stroke != .faint }.map(\.points)
    let bands = panel.bands.flatMap { [$0.lower, $0.upper] }
    let lines = clear.isEmpty && bands.isEmpty ? panel.series.map(\.points) : clear + bands
    var low = Double.infinity
    var high = -Double.infinity
    for point in lines.joined()
    where point.y.isFinite && (panel.scale == .linear || point.y > 0) {
      low = min(low, point.y)
      high = max(high, point.y)
    }
    return low <= high ? low...high : 0...1
  }
}
