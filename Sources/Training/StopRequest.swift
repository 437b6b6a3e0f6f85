// The wish to save and stop, as it comes from outside: SIGUSR1, SIGINT, SIGTERM.

import Glibc
import Kernels
import Synchronization

/// Listens for signals that ask a run to save and stop; the training loop looks at it once a step.
///
/// The first SIGUSR1, SIGINT or SIGTERM is remembered, later ones change nothing, except that a
/// second SIGINT ends the process at once. Made once in a process. A rank asks only for itself:
/// ranks agree by `Communicator.maximum`.
public final class StopRequest: Sendable {
  public init() {
    // Touched here, so that the handler never meets it half made.
    firstSignal.store(0, ordering: .sequentiallyConsistent)
    interrupts.store(0, ordering: .sequentiallyConsistent)
    // A handler, not sigwait in a thread of its own: OpenBLAS starts threads before main, which
    // would get the signal unblocked and die of it, and the process with them.
    for signal in [SIGUSR1, SIGINT, SIGTERM] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { remember($0) }
      action.sa_flags = SA_RESTART
      sigemptyset(&action.sa_mask)
      require(sigaction(signal, &action, nil) == 0, "sigaction gave \(errno) for \(signal)")
    }
  }

  /// Whether this process was asked to stop.
  public var isRequested: Bool { firstSignal.load(ordering: .acquiring) != 0 }

  /// What asked first: `SIGUSR1`, `SIGINT` or `SIGTERM`.
  public var reason: String? {
    switch firstSignal.load(ordering: .acquiring) {
    case SIGUSR1: "SIGUSR1"
    case SIGINT: "SIGINT"
    case SIGTERM: "SIGTERM"
    default: nil
    }
  }
}

// A signal handler gets no context: these two are all it can reach, and all it does is safe in one.
private let firstSignal = Atomic<Int32>(0)
private let interrupts = Atomic<Int>(0)

private func remember(_ signal: Int32) {
  if signal == SIGINT, interrupts.add(1, ordering: .relaxed).oldValue > 0 { _exit(128 + SIGINT) }
  _ = firstSignal.compareExchange(
    expected: 0, desired: signal, ordering: .acquiringAndReleasing)
}
