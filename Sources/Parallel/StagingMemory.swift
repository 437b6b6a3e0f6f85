// Memory for what comes in from other ranks, kept between collectives.

import Glibc
import Kernels

/// A communicator's temporary memory: fresh memory costs page faults, so none is given back to the
/// system before the communicator goes.
final class StagingMemory {
  typealias Loan = (base: UnsafeMutableRawPointer, bytes: Int)

  private var base: UnsafeMutableRawPointer?
  private var bytes = 0
  private var spare: [Loan] = []

  deinit {
    free(base)
    for memory in spare { free(memory.base) }
  }

  /// At least `bytes`, until the next call.
  func shared(bytes wanted: Int) -> UnsafeMutableRawPointer {
    if base == nil || wanted > bytes {
      free(base)
      base = Self.allocate(wanted)
      bytes = wanted
    }
    return base!
  }

  /// At least `bytes`, until it is given back: for a collective that is under way.
  func borrow(bytes: Int) -> Loan {
    let fitting = spare.indices.filter { spare[$0].bytes >= bytes }
    if let best = fitting.min(by: { spare[$0].bytes < spare[$1].bytes }) {
      return spare.remove(at: best)
    }
    return (Self.allocate(bytes), bytes)
  }

  func giveBack(_ loan: Loan) { spare.append(loan) }

  private static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    var memory: UnsafeMutableRawPointer?
    require(
      posix_memalign(&memory, 64, max(bytes, 64)) == 0, "no memory for \(bytes) bytes of staging")
    return memory!
  }
}
