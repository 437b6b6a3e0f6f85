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
  /// Bytes of addresses.
  let reserved: Int
  /// Bytes from `base` that have been handed to the system as usable.
  private var usable = 0
  /// End of the highest block ever given out.
  private(set) var highWater = 0
  /// Free blocks by address, none touching another.
  private var free: [(offset: Int, bytes: Int)] = []

  private static let growth = 32 << 20

  /// Reserves `bytes` of addresses, no memory yet; where the system refuses (`ulimit -v`), half of
  /// the largest half, quarter, eighth … that it would give, since others need addresses, too.
  ///
  /// Throws `AddressError` where that is less than `least`.
  init(reserving bytes: Int, least: Int) throws {
    func map(_ bytes: Int) -> UnsafeMutableRawPointer? {
      let mapped = mmap(nil, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
      return mapped == MAP_FAILED ? nil : mapped
    }
    var size = bytes
    var mapped = map(size)
    while mapped == nil, size > least {
      size /= 2
      guard let largest = map(size) else { continue }
      munmap(largest, size)
      size /= 2
      mapped = map(size)
    }
    guard let mapped, size >= least else {
      if let mapped { munmap(mapped, size) }
      throw AddressError(wanted: least)
    }
    base = mapped
    reserved = size
    _ = madvise(base, size, adviseHugePages)
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
      require(
        usable + grown >= highWater,
        "activations need more than the \(reserved) bytes of addresses that are reserved"
          + AddressError.limitText)
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

/// The system gives too few addresses (not memory) to compute in.
public struct AddressError: Error, Equatable, CustomStringConvertible {
  /// Bytes that are needed at least.
  public let wanted: Int

  public var description: String {
    "the system gives no \(wanted) bytes of addresses for activations\(Self.limitText); accepted: "
      + "ulimit -v unlimited, or more"
  }

  /// What the process is limited to, where it is.
  fileprivate static var limitText: String {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur < .max
    else { return "" }
    return "; ulimit -v is \(limit.rlim_cur / 1024) kB"
  }
}
