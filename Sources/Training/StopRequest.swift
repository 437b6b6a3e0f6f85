// The wish to save and stop, as it comes from outside: SIGUSR1, SIGINT, SIGTERM.

import Glibc
import Kernels
import Synchronization

/// Listens for signals that ask a run to save and stop; the training loop looks at it once a step.
///
/// While a run trains, the first SIGUSR1, SIGINT or SIGTERM is remembered, and later ones change
/// nothing, except that a second SIGINT ends the process at once. Before it there is nothing to save:
/// SIGINT and SIGTERM end the process at once with 128 + the signal's number, and SIGUSR1, which asks
/// for a checkpoint, is remembered. Made once in a process. A rank asks only for itself: ranks agree
/// by `Communicator.maximum`.
public final class StopRequest: Sendable {
  public init() {
    // Touched here, so that the handler never meets one half made.
    isAsked.store(false, ordering: .sequentiallyConsistent)
    runs.store(0, ordering: .sequentiallyConsistent)
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
  public var isRequested: Bool { isAsked.load(ordering: .acquiring) }

  /// From now on there is something to save. Ranks that are threads call it each.
  public func beginTraining() { runs.add(1, ordering: .sequentiallyConsistent) }

  /// The run is over and saved, and the process goes on to something else.
  public func endTraining() { runs.subtract(1, ordering: .sequentiallyConsistent) }
}

// A signal handler gets no context: these are all it can reach, and all it does is safe in one.
private let isAsked = Atomic<Bool>(false)
/// Ranks that train.
private let runs = Atomic<Int>(0)
private let interrupts = Atomic<Int>(0)

private func remember(_ signal: Int32) {
  let isTraining = runs.load(ordering: .sequentiallyConsistent) > 0
  if signal == SIGINT {
    let isFirst = interrupts.add(1, ordering: .relaxed).oldValue == 0
    if !(isTraining && isFirst) { _exit(128 + SIGINT) }
  }
  if signal == SIGTERM && !isTraining { _exit(128 + SIGTERM) }
  isAsked.store(true, ordering: .releasing)
}
