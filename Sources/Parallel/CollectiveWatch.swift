// What sees every collective of one rank, whatever its group: checks, heartbeat, trace.

import Glibc

/// Shared by all communicators of a rank; the world's is handed on to its parts.
// @unchecked: belongs to one rank and is used by one of its threads at a time.
final class CollectiveWatch: @unchecked Sendable {
  /// Whether ranks compare what they came for before each collective.
  let isChecking: Bool
  /// The step that the rank is at, as it was last told.
  var step = 0
  /// What outlives the rank; nil where nobody watches it.
  var heartbeat: Heartbeat?
  /// Nil where nobody wants a timeline.
  var trace: Trace?

  init(isChecking: Bool = false) { self.isChecking = isChecking }
}

/// Nanoseconds of a clock that only goes forward, and alike in all processes of a machine.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec &* 1_000_000_000 &+ time.tv_nsec
}
