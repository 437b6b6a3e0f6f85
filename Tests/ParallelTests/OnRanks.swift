// Test support: the same body on ranks that are threads, or on the ranks that mpirun started.

import Foundation
import Kernels
import Parallel
import Testing

/// The numbers of ranks that a rank test runs with.
let rankCounts = [1, 2, 3, 4, 8]

/// Runs `body` once a rank: in process with each of `counts`; under `mpirun` on its ranks alone,
/// when `counts` has that many.
///
/// A body reports through its checks, since an expectation on another thread belongs to no test,
/// and since a rank that left early would leave the others waiting.
func onRanks(
  _ counts: [Int] = rankCounts, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: @escaping @Sendable (Communicator, RankChecks) throws -> Void
) throws {
  if let world = launchedWorld {
    guard counts.contains(world.size) else { return }
    let checks = RankChecks()
    do { try body(world, checks) } catch { world.end(after: error) }
    checks.report(sourceLocation)
    return
  }
  for count in counts {
    let results = try InProcessRanks.run(count) { world in
      let checks = RankChecks()
      try body(world, checks)
      return checks
    }
    for checks in results { checks.report(sourceLocation) }
  }
}

/// The world that mpirun started, if it did; MPI starts at the first use.
let launchedWorld: Communicator? = MPIEnvironment.isLaunched ? MPIEnvironment.start() : nil

/// What a rank found wrong.
// @unchecked: used by its rank's thread, then by the test after that thread ended.
final class RankChecks: @unchecked Sendable {
  private var failures: [String] = []
  private var count = 0

  func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
    count += 1
    if !condition { failures.append(text()) }
  }

  func equal<Value: Equatable>(_ a: Value, _ b: Value, _ what: String) {
    expect(a == b, "\(what): \(a) instead of \(b)")
  }

  func report(_ sourceLocation: SourceLocation) {
    #expect(count > 0, "a rank checked nothing", sourceLocation: sourceLocation)
    #expect(
      failures.isEmpty, "\(failures.prefix(3).joined(separator: "\n"))",
      sourceLocation: sourceLocation)
  }
}

/// An array with memory of its own.
final class OwnedArray {
  let matrix: Matrix

  init(rows: Int = 1, columns: Int, precision: Precision, _ value: (Int) -> Double = { _ in 0 }) {
    let count = rows * columns
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1) * precision.bytes, alignment: 64)
    matrix = Matrix(memory, rows: rows, columns: columns, precision: precision)
    for index in 0..<count { self[index] = value(index) }
  }

  deinit { matrix.base.deallocate() }

  subscript(_ index: Int) -> Double {
    get {
      switch matrix.precision {
      case .float32: Double(matrix.base.load(fromByteOffset: index * 4, as: Float.self))
      case .float64: matrix.base.load(fromByteOffset: index * 8, as: Double.self)
      }
    }
    set {
      switch matrix.precision {
      case .float32:
        matrix.base.storeBytes(of: Float(newValue), toByteOffset: index * 4, as: Float.self)
      case .float64: matrix.base.storeBytes(of: newValue, toByteOffset: index * 8, as: Double.self)
      }
    }
  }

  var values: [Double] { (0..<matrix.count).map { self[$0] } }
}

/// A value that every rank can compute for every other: of widely differing sizes, so that another
/// order of addition gives other bits.
func sample(rank: Int, index: Int) -> Double {
  var bits = UInt64(truncatingIfNeeded: rank &* 1_000_003 &+ index) &* 0x9E37_79B9_7F4A_7C15
  bits ^= bits >> 31
  bits = bits &* 0xBF58_476D_1CE4_E5B9
  bits ^= bits >> 29
  let fraction = Double(bits >> 11) * 0x1p-53 - 0.5
  return fraction * exp2(Double(bits & 15) - 8)
}

/// Σ_r sample(r, index), added in rank order in the given precision.
func sampleSum(ranks: Int, index: Int, precision: Precision) -> Double {
  switch precision {
  case .float32:
    Double(
      (1..<ranks).reduce(Float(sample(rank: 0, index: index))) {
        $0 + Float(sample(rank: $1, index: index))
      })
  case .float64:
    (1..<ranks).reduce(sample(rank: 0, index: index)) { $0 + sample(rank: $1, index: index) }
  }
}
