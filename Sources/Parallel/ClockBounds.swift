// What another rank's clock is ahead of rank 0's, as far as barriers can tell.

/// Bounds of a clock's lead over rank 0's, in nanoseconds.
///
/// No rank leaves a barrier before every rank has come. So each barrier bounds the lead from both
/// sides: by this rank's arrival against rank 0's departure, and the other way round. Of several
/// barriers the tightest bounds count.
package struct ClockBounds: Equatable {
  package private(set) var low = Int.min
  package private(set) var high = Int.max

  /// When one rank came to a barrier and when it left, by its own clock.
  package struct Passage {
    let came: Int
    let left: Int

    package init(came: Int, left: Int) {
      self.came = came
      self.left = left
    }
  }

  package init() {}

  package mutating func narrow(own: Passage, zero: Passage) {
    low = max(low, own.came - zero.left)
    high = min(high, own.left - zero.came)
  }

  /// None where none is within the bounds: ranks of one machine share its clock.
  package var offset: Int {
    guard low <= high, low > 0 || high < 0 else { return 0 }
    return low + (high - low) / 2
  }

  /// Every rank of `group` calls it alike.
  static func measure(over group: Communicator, rounds: Int = 8) -> ClockBounds {
    var passages: [Int] = []
    for _ in 0..<rounds {
      passages.append(nanoseconds())
      group.barrier()
      passages.append(nanoseconds())
    }
    let ofZero = group.gather(passages)[0]
    var bounds = ClockBounds()
    for round in 0..<rounds {
      bounds.narrow(
        own: Passage(came: passages[2 * round], left: passages[2 * round + 1]),
        zero: Passage(came: ofZero[2 * round], left: ofZero[2 * round + 1]))
    }
    return bounds
  }
}
