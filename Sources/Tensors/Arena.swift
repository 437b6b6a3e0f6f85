// Memory of one rank's activations, kept from step to step so that no page faults twice.

import Glibc
import Kernels

/// MADV_HUGEPAGE, which Glibc's module does not name: fewer page faults and address look-ups.
let adviseHugePages: Int32 = 14

/// Best-fit allocation inside one reserved range of addresses.
///
/// Freed blocks merge with their neighbours; the range grows only when nothing fits, so the
/// resident set is the high-water mark of one step and stays flat. Used from one thread.
final class Arena {
  private let base: UnsafeMutableRawPointer
  private let reserved: Int
  /// Bytes from `base` that have been handed to the system as usable.
  private var usable = 0
  /// End of the highest block ever given out.
  private(set) var highWater = 0
  /// Free blocks by address, none touching another.
  private var free: [(offset: Int, bytes: Int)] = []

  private static let growth = 32 << 20

  /// Reserves `bytes` of addresses, no memory yet.
  init(reserving bytes: Int) {
    let mapped = mmap(nil, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    require(mapped != MAP_FAILED, "cannot reserve \(bytes) bytes of addresses: errno \(errno)")
    base = mapped!
    reserved = bytes
    _ = madvise(base, bytes, adviseHugePages)
  }

  deinit { munmap(base, reserved) }

  /// Bytes that a block of `bytes` takes.
  static func rounded(_ bytes: Int) -> Int { max(64, (bytes + 63) & ~63) }

  /// A 64-byte aligned block of `rounded(bytes)`, contents undefined.
  func take(_ bytes: Int) -> UnsafeMutableRawPointer {
    let size = Arena.rounded(bytes)
    var best = -1
    for (index, block) in free.enumerated() where block.bytes >= size {
      if best < 0 || block.bytes < free[best].bytes { best = index }
      if block.bytes == size { break }
    }
    if best >= 0 {
      let block = free[best]
      if block.bytes == size {
        free.remove(at: best)
      } else {
        free[best] = (block.offset + size, block.bytes - size)
      }
      return base + block.offset
    }
    // The last free block may reach the end: grow from its start.
    var offset = highWater
    if let last = free.last, last.offset + last.bytes == highWater {
      offset = last.offset
      free.removeLast()
    }
    highWater = offset + size
    if highWater > usable {
      let grown = min(
        (highWater - usable + Arena.growth - 1) / Arena.growth * Arena.growth, reserved - usable)
      require(usable + grown >= highWater, "activations need more than \(reserved) bytes")
      require(
        mprotect(base + usable, grown, PROT_READ | PROT_WRITE) == 0,
        "the system gives no memory for \(grown) more bytes: errno \(errno)")
      usable += grown
    }
    return base + offset
  }

  /// Gives back a block of `take(bytes)`.
  func give(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    let offset = pointer - base
    let size = Arena.rounded(bytes)
    var low = 0
    var high = free.count
    while low < high {
      let middle = (low + high) / 2
      if free[middle].offset < offset { low = middle + 1 } else { high = middle }
    }
    let touchesPrevious = low > 0 && free[low - 1].offset + free[low - 1].bytes == offset
    let touchesNext = low < free.count && offset + size == free[low].offset
    switch (touchesPrevious, touchesNext) {
    case (true, true):
      free[low - 1].bytes += size + free[low].bytes
      free.remove(at: low)
    case (true, false): free[low - 1].bytes += size
    case (false, true): free[low] = (offset, size + free[low].bytes)
    case (false, false): free.insert((offset, size), at: low)
    }
  }
}
