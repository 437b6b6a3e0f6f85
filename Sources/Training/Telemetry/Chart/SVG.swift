// The few pieces of SVG that a chart is made of, and its colours for light and dark ground.

import Foundation

enum SVG {
  struct Frame {
    var x: Double
    var y: Double
    var width: Double
    var height: Double
  }

  /// Told apart by people who see few colours, too, by lightness: light ground, dark ground.
  private static let palette: [(light: String, dark: String)] = [
    ("#2563c9", "#79aef7"), ("#d1600a", "#f6a45c"), ("#17805a", "#57c99a"),
    ("#8446c6", "#bd98f2"), ("#c2334d", "#f4828f"), ("#0b7f93", "#55c4d8"),
    ("#7d6227", "#d0b16a"), ("#5a6675", "#a9b5c3"),
  ]

  static var colours: Int { palette.count }

  static func colour(_ index: Int) -> String { "c\(index % palette.count)" }

  static func name(_ stroke: ChartSeries.Stroke) -> String {
    switch stroke {
    case .faint: "faint"
    case .solid: "solid"
    case .dashed: "dashed"
    case .marked: "marked"
    }
  }

  /// A hundredth of a unit is enough.
  static func number(_ value: Double) -> String {
    let text = Figure.fixed(value, 2)
    if text.hasSuffix(".00") { return String(text.dropLast(3)) }
    return text.hasSuffix("0") ? String(text.dropLast()) : text
  }

  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      // XML has no place for control characters.
      case _ where scalar.value < 0x20: result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  static func text(_ text: String, x: Double, y: Double, classes: String) -> String {
    "<text class=\"\(classes)\" x=\"\(number(x))\" y=\"\(number(y))\">\(escaped(text))</text>\n"
  }

  /// A measured point; `title` shows when the pointer rests on it.
  static func mark(x: Double, y: Double, colour: String, title: String?) -> String {
    let inside = title.map { "<title>\(escaped($0))</title>" } ?? ""
    let place = "cx=\"\(number(x))\" cy=\"\(number(y))\""
    return "<circle class=\"mark \(colour)\" \(place) r=\"3.5\">\(inside)</circle>\n"
  }

  /// Roughly, for a proportional typeface.
  static func width(of text: String, size: Double) -> Double { Double(text.count) * size * 0.56 }

  static func document(width: Double, height: Double, title: String, body: String) -> String {
    let (width, height) = (number(width), number(height))
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" \
      width="\(width)" height="\(height)" role="img" aria-label="\(escaped(title))">
      <style>
      \(styles)
      </style>
      <rect class="ground" width="100%" height="100%" rx="10"/>
      \(body)</svg>

      """
  }

  private static var styles: String {
    let plain = """
      text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
      .title { font-size: 19px; font-weight: 600; }
      .soft, .key { font-size: 13px; }
      .caption { font-size: 13px; font-weight: 600; }
      .tick { font-size: 11.5px; font-variant-numeric: tabular-nums; }
      .value { font-size: 12px; font-weight: 600; font-variant-numeric: tabular-nums; }
      .end { text-anchor: end; }
      .middle { text-anchor: middle; }
      .grid { stroke-width: 1; }
      .axis { stroke-width: 1; fill: none; }
      .line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
      .solid { stroke-width: 2; }
      .marked { stroke-width: 1.75; }
      .dashed { stroke-width: 1.75; stroke-dasharray: 6 4; }
      .faint { stroke-width: 1; stroke-opacity: 0.28; }
      .repeated { stroke-dasharray: 2 3; }
      .band { fill-opacity: 0.26; stroke: none; }
      .mark { stroke-width: 1.75; }
      """
    let light = colours(
      ground: "#ffffff", ink: "#1b2430", soft: "#5d6978", grid: "#e8ebef", axis: "#aab3be",
      palette.map(\.light))
    let dark = colours(
      ground: "#11161d", ink: "#e8edf3", soft: "#9aa7b6", grid: "#252d38", axis: "#566273",
      palette.map(\.dark))
    return "\(plain)\n\(light)\n@media (prefers-color-scheme: dark) {\n\(dark)\n}"
  }

  private static func colours(
    ground: String, ink: String, soft: String, grid: String, axis: String, _ lines: [String]
  ) -> String {
    var rules = """
      .ground { fill: \(ground); }
      .title, .caption { fill: \(ink); }
      .soft, .tick, .key { fill: \(soft); }
      .grid { stroke: \(grid); }
      .axis { stroke: \(axis); }
      .mark { fill: \(ground); }
      .line.any, .mark.any { stroke: \(soft); }
      .band.any, .value.any { fill: \(soft); }
      """
    for (index, colour) in lines.enumerated() {
      rules += "\n.line.c\(index), .mark.c\(index) { stroke: \(colour); }"
      rules += "\n.band.c\(index), .value.c\(index) { fill: \(colour); }"
    }
    return rules
  }
}
