// How long the parts of a step take.

import Parallel

/// Seconds between calls, added up by name.
package struct PhaseClock {
  package private(set) var phases: [(part: String, seconds: Double)] = []
  private var last = ContinuousClock.now
  private var mark = Trace.now()
  private let trace: Trace?

  package init(_ trace: Trace? = nil) { self.trace = trace }

  /// Ends the phase that runs since the last call.
  package mutating func end(_ part: String) {
    trace?.record(part, since: mark)
    mark = Trace.now()
    let now = ContinuousClock.now
    let took = (now - last) / .seconds(1)
    last = now
    if let known = phases.firstIndex(where: { $0.part == part }) {
      phases[known].seconds += took
    } else {
      phases.append((part, took))
    }
  }
}
