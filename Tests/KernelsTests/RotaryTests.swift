// Rotary position embedding against its formula in Double.

import Foundation
import Kernels
import Testing

struct RotaryCase: CustomTestStringConvertible, Sendable {
  var rows: Int
  var heads: Int
  var headWidth: Int
  var precision: Precision
  var gap: Int

  var testDescription: String { "\(rows) × \(heads) heads of \(headWidth), \(precision)" }

  static let all: [RotaryCase] = Precision.allCases.flatMap { precision in
    [
      (0, 1, 4, 0), (1, 1, 2, 0), (5, 3, 6, 2), (7, 2, 16, 0), (5, 3, 8, 1), (3, 2, 34, 1),
      (260, 4, 64, 0),
    ]
    .map {
      RotaryCase(
        rows: $0.0, heads: $0.1, headWidth: $0.2, precision: precision, gap: $0.3)
    }
  }

  var shape: Shape {
    Shape(rows: rows, columns: heads * headWidth, gap: gap, precision: precision)
  }

  /// Out of order and beyond the first table.
  var positions: [Int32] { (0..<rows).map { Int32(($0 * 37) % 300) } }

  func rotated(_ x: Sample) -> [Double] {
    let half = headWidth / 2
    return (0..<rows).flatMap { row in
      (0..<heads * headWidth).map { column in
        let start = column / headWidth * headWidth
        let i = (column - start) % half
        let angle =
          Double(positions[row]) * pow(10_000, -2 * Double(i) / Double(headWidth))
        let (x1, x2) = (x[row, start + i], x[row, start + half + i])
        return column - start < half
          ? x1 * cos(angle) - x2 * sin(angle) : x2 * cos(angle) + x1 * sin(angle)
      }
    }
  }
}

@Test(arguments: RotaryCase.all)
func `rotation is its formula, in place too, and its inverse undoes it`(_ given: RotaryCase) {
  let shape = given.shape
  let x = Sample(random: 1, shape)
  let found = results { team in
    let table = RotaryTable(
      headWidth: given.headWidth, positions: 8, base: 10_000, precision: given.precision)
    func rotate(_ x: Sample, into y: Sample, inverse: Bool) {
      Kernels.rotate(
        x.matrix, headWidth: given.headWidth, positions: given.positions, table: table,
        inverse: inverse, into: y.matrix, team: team)
    }
    let y = Sample(for: shape)
    let inPlace = x.copy
    let back = Sample(for: shape)
    rotate(x, into: y, inverse: false)
    rotate(inPlace, into: inPlace, inverse: false)
    rotate(y, into: back, inverse: true)
    return [y, inPlace, back]
  }
  expectClose(found[0].values, given.rotated(x), tolerance: shape.tolerance)
  #expect(found[1].bits == found[0].bits)
  expectClose(found[2].values, x.values, tolerance: shape.tolerance)
}

@Test func `a table that has grown rotates as one made at that size`() {
  let shape = Shape(rows: 9, columns: 8, gap: 0, precision: .float64)
  let x = Sample(random: 1, shape)
  let positions = (0..<Int32(9)).map { $0 * 100 }
  let team = ThreadTeam(size: 1)
  let tables = [1, 801].map {
    RotaryTable(headWidth: 8, positions: $0, base: 500, precision: .float64)
  }
  let bits = tables.map { table in
    let y = Sample(for: shape)
    rotate(
      x.matrix, headWidth: 8, positions: positions, table: table, inverse: false, into: y.matrix,
      team: team)
    return y.bits
  }
  #expect(bits[0] == bits[1])
  #expect(tables[0].positions >= 801)
}
