// A hash table from pairs of tokens to what becomes of them.

/// Open addressing over pairs of ids; entries are never removed.
struct PairTable<Value: Sendable>: Sendable {
  private var keys: [UInt64]
  private var values: [Value?]
  private(set) var count = 0

  private static var empty: UInt64 { .max }

  init(minimumCapacity: Int = 16) {
    var size = 32
    while size < minimumCapacity * 2 { size *= 2 }
    keys = Array(repeating: Self.empty, count: size)
    values = Array(repeating: nil, count: size)
  }

  @inline(__always)
  static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  subscript(left: Int32, right: Int32) -> Value? {
    @inline(__always) get { values[slot(Self.key(left, right))] }
    set {
      check(newValue != nil, "a pair cannot be removed")
      var place = slot(Self.key(left, right))
      if keys[place] == Self.empty {
        if (count + 1) * 2 > keys.count {
          grow()
          place = slot(Self.key(left, right))
        }
        keys[place] = Self.key(left, right)
        count += 1
      }
      values[place] = newValue
    }
  }

  /// Where the key is, or would go.
  @inline(__always)
  private func slot(_ key: UInt64) -> Int {
    let mask = keys.count - 1
    var place = Int(truncatingIfNeeded: mixed(key)) & mask
    while keys[place] != key && keys[place] != Self.empty { place = (place + 1) & mask }
    return place
  }

  private mutating func grow() {
    let (oldKeys, oldValues) = (keys, values)
    keys = Array(repeating: Self.empty, count: oldKeys.count * 2)
    values = Array(repeating: nil, count: oldKeys.count * 2)
    for (key, value) in zip(oldKeys, oldValues) where key != Self.empty {
      let place = slot(key)
      keys[place] = key
      values[place] = value
    }
  }
}
