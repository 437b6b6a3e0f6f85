// Reading part of a tensor whose elements lie scattered in the file.

import Kernels
import Parallel

extension SafetensorsFile {
  /// What is read at once where a slice takes a little of each row.
  private static let blockBytes = 1 << 20

  /// Fills `target` with a part of a floating-point tensor.
  ///
  /// Rows that lie near each other in the file are read together with what is between them, a block
  /// at a time, and the part's columns are copied; longer stretches are read where they belong.
  func read(
    _ entry: SafetensorsHeader.Entry, _ part: SlicePart,
    into target: UnsafeMutableRawBufferPointer, as precision: Precision
  ) throws {
    let width = precision.bytes
    var block = [UInt8]()
    // Stretches that are to be read together: where each begins here and in the file, in elements.
    var waiting: [(own: Int, whole: Int, count: Int)] = []
    func readWaiting() throws {
      guard let first = waiting.first, let last = waiting.last else { return }
      func place(_ own: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: target[own * width..<(own + count) * width])
      }
      if waiting.count == 1 {
        try read(entry, from: first.whole, into: place(first.own, first.count), as: precision)
      } else {
        if block.isEmpty { block = [UInt8](repeating: 0, count: Self.blockBytes) }
        let bytes = (last.whole + last.count - first.whole) * width
        try block.withUnsafeMutableBytes { block in
          try read(
            entry, from: first.whole,
            into: UnsafeMutableRawBufferPointer(rebasing: block[..<bytes]),
            as: precision)
          for stretch in waiting {
            let start = (stretch.whole - first.whole) * width
            place(stretch.own, stretch.count).copyMemory(
              from: UnsafeRawBufferPointer(
                rebasing: block[start..<start + stretch.count * width]))
          }
        }
      }
      waiting.removeAll(keepingCapacity: true)
    }
    try part.forEachRun(0..<part.count) { own, whole, count in
      if let first = waiting.first, (whole + count - first.whole) * width > Self.blockBytes {
        try readWaiting()
      }
      waiting.append((own, whole, count))
    }
    try readWaiting()
  }
}
