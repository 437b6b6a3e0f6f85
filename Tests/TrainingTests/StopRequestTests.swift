// Signals sent to a process of its own: remembered while it trains; else, and at a second interrupt, its
// end.

import Glibc
import Testing
import Training

@Suite struct StopRequestTests {
  @Test func `while a run trains the first signal is remembered`() async {
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGUSR1, SIGTERM]) }
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGINT, SIGUSR1]) }
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGTERM, SIGTERM, SIGINT]) }
  }

  @Test func `a second interrupt ends the process at once`() async {
    await #expect(processExitsWith: .exitCode(130)) { stopAfter([SIGINT, SIGINT]) }
  }

  @Test func `where nothing is trained an interrupt ends the process at once`() async {
    await #expect(processExitsWith: .exitCode(130)) { stopAfter([SIGINT], trainings: 0) }
    await #expect(processExitsWith: .exitCode(143)) { stopAfter([SIGTERM], trainings: 0) }
    await #expect(processExitsWith: .exitCode(143)) { stopAfter([SIGUSR1, SIGTERM], trainings: 0) }
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGUSR1], trainings: 0) }
  }

  @Test func `between two runs of a process an interrupt ends it at once`() async {
    await #expect(processExitsWith: .exitCode(143)) { stopAfter([SIGTERM], trainings: 2, ended: 2) }
    // One rank of two still trains.
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGTERM], trainings: 2, ended: 1) }
  }
}

/// Exits with 75 when a stop is requested after these signals, with 1 otherwise.
private func stopAfter(_ signals: [Int32], trainings: Int = 1, ended: Int = 0) {
  let request = StopRequest()
  for _ in 0..<trainings { request.beginTraining() }
  for _ in 0..<ended { request.endTraining() }
  guard !request.isRequested else { exit(2) }
  for signal in signals {
    kill(getpid(), signal)
    usleep(20_000)  // equal signals that follow at once are one
  }
  for _ in 0..<1000 where !request.isRequested { usleep(1000) }
  exit(request.isRequested ? 75 : 1)
}
