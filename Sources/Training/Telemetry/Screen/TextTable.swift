// Columns of text that stand under each other and fit a width.

/// A column: its title, how wide its texts may be, and how badly it is needed.
package struct TextColumn {
  package enum Side { case left, right }

  var title: String
  var width: Int
  /// Columns of the highest number go first when the line is too narrow; 0 never goes.
  var expendability = 0
  var side = Side.right

  package init(_ title: String, width: Int, expendability: Int = 0, side: Side = .right) {
    self.title = title
    self.width = max(width, title.count)
    self.expendability = expendability
    self.side = side
  }
}

/// Lines of cells under a title line.
package struct TextTable {
  /// Places, among all columns, of those that are shown.
  let shown: [Int]
  private let columns: [TextColumn]
  private static let gap = "  "

  /// Leaves out what does not fit into `width` characters.
  package init(_ columns: [TextColumn], width: Int) {
    self.columns = columns
    var shown = Array(columns.indices)
    while TextTable.width(of: shown.map { columns[$0] }) > width {
      let candidates = shown.filter { columns[$0].expendability > 0 }
      guard let next = candidates.max(by: { columns[$0].expendability < columns[$1].expendability })
      else { break }
      shown.removeAll { $0 == next }
    }
    self.shown = shown
  }

  static func width(of columns: [TextColumn]) -> Int {
    columns.reduce(0) { $0 + $1.width } + gap.count * max(0, columns.count - 1)
  }

  package var titles: String { line(columns.map(\.title)) }

  /// `cells` are of all columns, shown or not. A text wider than its column pushes the rest on.
  package func line(_ cells: [String]) -> String {
    var text = ""
    for (place, index) in shown.enumerated() {
      if place > 0 { text += TextTable.gap }
      let cell = cells[index]
      let space = String(repeating: " ", count: max(0, columns[index].width - cell.count))
      switch columns[index].side {
      case .right: text += space + cell
      case .left: text += place == shown.count - 1 ? cell : cell + space
      }
    }
    return text
  }
}
