// Which sequences begin alike.

/// The beginnings of some sequences, numbered: sequences have the same number at a place if they are
/// equal up to it.
public struct Beginnings: Sendable {
  /// By sequence and place.
  public private(set) var numbers: [[Int32]] = []
  public private(set) var count = 0

  public init(_ sequences: some Sequence<[Int32]>) {
    // By the beginning that is one token shorter, and that token.
    var known: [UInt64: Int32] = [:]
    for sequence in sequences {
      var before: Int32 = -1
      numbers.append(
        sequence.map { token in
          let key = UInt64(UInt32(bitPattern: before)) << 32 | UInt64(UInt32(bitPattern: token))
          if let number = known[key] {
            before = number
          } else {
            before = Int32(count)
            known[key] = before
            count += 1
          }
          return before
        })
    }
  }
}
