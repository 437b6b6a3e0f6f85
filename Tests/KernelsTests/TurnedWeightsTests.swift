// Products with turned weights against those without: the same bits, for any number of rows.

import Kernels
import Testing

/// Rows of x, rows and columns of the weights: one row, whole strips and parts of them, more than one
/// block of the depth, and what is left behind whole eights of rows.
private let shapes = [
  (1, 64, 256), (1, 200, 600), (1, 37, 3), (2, 96, 300), (3, 33, 65), (4, 48, 256), (7, 70, 257),
  (8, 256, 256), (9, 130, 512), (13, 16, 40), (64, 190, 131), (300, 257, 520),
]

@Test(
  .enabled(if: productsReadTurnedWeights, "OpenBLAS reads weights as they are"),
  arguments: shapes.indices, Precision.allCases)
func `turned weights give the bits of weights that are not`(_ index: Int, _ precision: Precision) {
  let (m, n, k) = shapes[index]
  let shape = ProductShape(m: m, n: n, k: k, gap: 3, precision: precision)
  let x = shape.random(1, m, k)
  let weights = shape.random(2, n, k)
  let before = shape.random(3, m, n)
  func found(_ w: Matrix, _ team: ThreadTeam) -> [Sample] {
    let plain = shape.unwritten(m, n)
    product(x.matrix, w, into: plain.matrix, transposed: .right, team: team)
    let added = before.copy
    product(x.matrix, w, into: added.matrix, transposed: .right, accumulate: true, team: team)
    return [plain, added]
  }
  let expected = found(weights.matrix, ThreadTeam(size: 1))
  let turned = results { team in
    let memory = Sample(1, n * k + turnedPadding, precision)
    turn([(weights.matrix, memory.matrix.base)], team: team)
    let matrix = weights.matrix
    let w = Matrix(
      matrix.base, rows: n, columns: k, stride: matrix.stride, precision: precision,
      turned: memory.matrix.base)
    return withExtendedLifetime(memory) { found(w, team) }
  }
  for (found, expected) in zip(turned, expected) {
    #expect(found.bits == expected.bits)
    #expect(found.isIntactAround)
  }
}
