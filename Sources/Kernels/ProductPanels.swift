// Matrix products by our own tiles: panels of the right factor, packed to stay in the first cache,
// meet rows of the left one where they lie.
//
// Each element is a sum in the order of depth, in blocks that are added in order: its bits depend on
// its row and its column alone, not on how many others there are or how the work is cut.

import CBLAS

/// Depth of a panel: with two vectors to a row, 32 KB.
let panelDepth = 256

/// From one packed tile of rows to the next: not a multiple of 4096 bytes, which would map all tiles
/// to the same few places of the cache.
@inline(__always)
private func packedStep(_ depth: Int) -> Int { depth &* tileRows &+ 2 &* tileRows }

/// Bytes of scratch memory for an area: a panel, a tile, and packed rows of a: those of a whole area
/// if a is read transposed, else of one tile.
func panelMemory(_ precision: Precision, packedRows: Int = tileRows, depth: Int = panelDepth) -> Int
{
  let vectors = 128
  let tiles = (packedRows + tileRows - 1) / tileRows
  return (panelDepth + tileRows) * vectors
    + (tiles * packedStep(min(depth, panelDepth)) * precision.bytes + 63) / 64 * 64
}

/// Where one area of a product has its factors.
struct PanelProduct<Scalar: KernelScalar> {
  let a, b, c: Matrix
  let area: ProductArea
  let transposed: Transposition
  let scale: Double
  let accumulate: Bool

  private var depth: Int { transposed == .left ? a.rows : a.columns }
  private var panelWidth: Int { 2 * Scalar.laneCount }
  /// Whether too few panels meet the rows of aᵀ for packing these to pay.
  private var readsRowsInPlace: Bool { c.columns <= 4 * panelWidth }

  /// c = scale · op(a) · op(b) (+ c) over the area, on the calling thread.
  @inline(__always)
  func run(_ scratch: UnsafeMutableRawPointer) {
    let panel = TileColumns(base: scratch.assumingMemoryBound(to: Scalar.self), step: panelWidth)
    let tile = TileColumns(base: panel[panelDepth, 0], step: panelWidth)
    let packedRows = tile[tileRows, 0]
    if depth == 0 && !accumulate { clear() }
    var first = 0
    while first < depth {
      let block = first..<min(first + panelDepth, depth)
      packRows(block, into: packedRows)
      var column = area.columns.lowerBound
      while column < area.columns.upperBound {
        let columns = column..<min(column + panelWidth, area.columns.upperBound)
        let right = pack(columns, block, into: panel)
        multiply(
          right, columns, block, packedRows, through: tile, adding: accumulate || first > 0)
        column += panelWidth
      }
      first += panelDepth
    }
  }

  /// All rows of the area times one panel.
  @inline(__always)
  private func multiply(
    _ right: TileColumns<Scalar>, _ columns: Range<Int>, _ block: Range<Int>,
    _ packedRows: Pointer<Scalar>, through tile: TileColumns<Scalar>, adding: Bool
  ) {
    let vectors = wholeVectors(Scalar.self, columns.count)
    let direct = vectors == columns.count && scale == 1
    let end = area.rows.upperBound
    let ahead = min(columns.upperBound + panelWidth, area.columns.upperBound)
    let next = columns.upperBound..<ahead
    let tiles = (area.rows.count + tileRows - 1) / tileRows
    var row = area.rows.lowerBound
    while row < end {
      prefetch(next, block, (row - area.rows.lowerBound) / tileRows, of: tiles)
      let left = rows(row, block, packedRows)
      let target = c.row(Scalar.self, row) + columns.lowerBound
      if direct && row + tileRows <= end {
        multiplyEightRows(
          left, right, into: TileColumns(base: target, step: c.stride), depth: block.count,
          columns: vectors, accumulate: adding)
      } else {
        multiplyEightRows(
          left, right, into: tile, depth: block.count, columns: vectors, accumulate: false)
        let factor = Scalar.Lanes(Scalar(scale))
        for i in 0..<min(tileRows, end - row) {
          let target = target + i * c.stride
          forLanes(Scalar.self, columns.count) { j, n in
            let product = tile[i, 0].lanes(j, n) * factor
            target.set(j, n, adding ? target.lanes(j, n) + product : product)
          }
        }
      }
      row += tileRows
    }
  }

  /// Asks for one of `parts` parts of the next panel's memory: it lies in short pieces, which the
  /// processor does not foresee.
  @inline(__always)
  private func prefetch(_ next: Range<Int>, _ block: Range<Int>, _ part: Int, of parts: Int) {
    if next.isEmpty { return }
    let (lines, places) = transposed == .right ? (next, block) : (block, next)
    let perPart = (lines.count + parts - 1) / parts
    let first = lines.lowerBound + part * perPart
    let bytes = places.count * MemoryLayout<Scalar>.stride
    for line in first..<max(first, min(first + perPart, lines.upperBound)) {
      let start = UnsafeRawPointer(b.row(Scalar.self, line) + places.lowerBound)
      for offset in stride(from: 0, to: bytes, by: 64) { prefetch_line(start + offset) }
    }
  }

  /// Eight rows of op(a) from `row` on, in place where they can be read so.
  @inline(__always)
  private func rows(_ row: Int, _ block: Range<Int>, _ packed: Pointer<Scalar>) -> TileRows<Scalar>
  {
    if transposed == .left {
      if readsRowsInPlace && row + tileRows <= area.rows.upperBound {
        return TileRows(
          base: a.row(Scalar.self, block.lowerBound) + row, rowStep: 1, depthStep: a.stride)
      }
      let start = packed + (row - area.rows.lowerBound) / tileRows * packedStep(block.count)
      return TileRows(base: start, rowStep: 1, depthStep: tileRows)
    }
    if row + tileRows > area.rows.upperBound {
      return TileRows(base: packed, rowStep: block.count, depthStep: 1)
    }
    return TileRows(
      base: a.row(Scalar.self, row) + block.lowerBound, rowStep: a.stride, depthStep: 1)
  }

  /// Of aᵀ rows of the area, eight beside each other, all that are not read in place; of a those behind the
  /// last whole tile.
  @inline(__always)
  private func packRows(_ block: Range<Int>, into packed: Pointer<Scalar>) {
    let whole = area.rows.count / tileRows * tileRows
    let rest = area.rows.count - whole
    let start = area.rows.lowerBound
    guard transposed == .left else {
      if rest == 0 { return }
      for i in 0..<rest {
        (packed + i * block.count).update(
          from: a.row(Scalar.self, start + whole + i) + block.lowerBound, count: block.count)
      }
      (packed + rest * block.count).update(repeating: 0, count: (tileRows - rest) * block.count)
      return
    }
    let inPlace = readsRowsInPlace ? whole : 0
    if inPlace > 0 && rest == 0 { return }
    for k in 0..<block.count {
      let source = a.row(Scalar.self, block.lowerBound + k) + start
      var target = packed + (inPlace / tileRows * packedStep(block.count) + k * tileRows)
      var i = inPlace
      while i < whole {
        target.update(from: source + i, count: tileRows)
        target += packedStep(block.count)
        i += tileRows
      }
      if rest > 0 {
        target.update(from: source + whole, count: rest)
        (target + rest).update(repeating: 0, count: tileRows - rest)
      }
    }
  }

  /// Columns of op(b) as a panel, zeros up to whole vectors; in place where few rows would use it.
  @inline(__always)
  private func pack(
    _ columns: Range<Int>, _ block: Range<Int>, into panel: TileColumns<Scalar>
  ) -> TileColumns<Scalar> {
    let vectors = wholeVectors(Scalar.self, columns.count)
    if transposed == .right {
      if vectors > columns.count {
        for k in 0..<block.count {
          panel[k, columns.count].update(repeating: 0, count: vectors - columns.count)
        }
      }
      transpose(
        b.row(Scalar.self, columns.lowerBound) + block.lowerBound, b.stride, rows: columns.count,
        columns: block.count, into: panel.base, panel.step)
      return panel
    }
    let start = b.row(Scalar.self, block.lowerBound) + columns.lowerBound
    if vectors == columns.count && area.rows.count < 32 {
      return TileColumns(base: start, step: b.stride)
    }
    for k in 0..<block.count {
      let source = start + k * b.stride
      forLanes(Scalar.self, columns.count) { j, n in source.lanes(j, n).store(to: panel[k, j]) }
    }
    return panel
  }

  private func clear() {
    for row in area.rows {
      (c.row(Scalar.self, row) + area.columns.lowerBound).update(
        repeating: 0, count: area.columns.count)
    }
  }
}
