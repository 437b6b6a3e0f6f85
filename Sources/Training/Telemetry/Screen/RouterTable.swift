// The routers of all MoE layers as a small table: who gets the tokens.

/// One row a layer: a bar for each expert's load, and the figures that follow from it.
///
/// ▄ is the mean load and █ twice the mean or more, in every layer alike; a dot is an expert that
/// no token chose.
public struct RouterTable: Sendable {
  private let record: RouterRecord
  private let style: ScreenStyle

  /// Eight heights.
  private static let blocks = Array("▁▂▃▄▅▆▇█")
  private static let marks = Array("_-:=+*#@")

  public init(_ record: RouterRecord, style: ScreenStyle) {
    self.record = record
    self.style = style
  }

  /// Lines without a newline at the end.
  public var text: String {
    let hasDrops = record.layers.contains { $0.dropped > 0 }
    let most = record.layers.map(\.experts).max() ?? 1
    let layer = TextColumn("layer", width: 3)
    var figures = [
      TextColumn("max/mean", width: 5),
      TextColumn("entropy", width: 6, expendability: 2),
      TextColumn("dead", width: 4, expendability: 1),
      TextColumn("balance", width: 7, expendability: 3),
      TextColumn("z", width: 7, expendability: 4),
    ]
    if hasDrops { figures.append(TextColumn("dropped", width: 7, expendability: 1)) }
    // Figures give way to the first 16 experts; more go on in the next line where there is no room.
    func columns(bar: Int) -> [TextColumn] {
      [layer, TextColumn("load", width: bar, side: .left)] + figures
    }
    let least = columns(bar: min(most, 16))
    let shown = TextTable(least, width: style.width).shown.map { least[$0] }
    let room = style.width - TextTable.width(of: shown) + least[1].width
    let barWidth = max(least[1].width, min(most, room))
    let table = TextTable(columns(bar: barWidth), width: style.width)

    var lines = [title, table.titles]
    for layer in record.layers {
      let bars = RouterTable.bars(layer, style.glyphs)
      for start in stride(from: 0, to: bars.count, by: barWidth) {
        let part = String(bars[start..<min(start + barWidth, bars.count)])
        let isFirst = start == 0
        let cells = isFirst ? RouterTable.cells(layer) : Array(repeating: "", count: 6)
        let line = table.line([isFirst ? String(layer.layer) : "", part] + cells)
        lines.append(RouterTable.trimmed(line))
      }
    }
    return lines.joined(separator: "\n")
  }

  private var title: String {
    let key =
      switch style.glyphs {
      case .unicode: "▄ mean, █ twice or more, · none"
      case .ascii: "= mean, @ twice or more, . none"
      }
    let long = "router at step \(record.step)  (load of each expert: \(key))"
    return long.count <= style.width ? long : "router at step \(record.step)"
  }

  private static func cells(_ layer: LayerRouting) -> [String] {
    [
      Figure.fixed(layer.maxOverMean, 2),
      Figure.percent(layer.loadEntropyShare),
      String(layer.dead.count),
      Figure.fitted(layer.balance, 3, width: 7),
      Figure.fitted(layer.z, 3, width: 7),
      Figure.count(Double(layer.dropped)),
    ]
  }

  /// A character for each expert.
  private static func bars(_ layer: LayerRouting, _ glyphs: ScreenStyle.Glyphs) -> [Character] {
    let heights = glyphs == .unicode ? blocks : marks
    let none: Character = glyphs == .unicode ? "·" : "."
    return layer.counts.map { count in
      guard count > 0 else { return none }
      let height = (Double(count) / layer.meanCount * 4).rounded()
      return heights[Int(min(max(height, 1), 8)) - 1]
    }
  }

  private static func trimmed(_ line: String) -> String {
    String(line.reversed().drop { $0 == " " }.reversed())
  }
}
