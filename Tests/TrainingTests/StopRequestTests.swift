// Signals sent to a process of its own: remembered, the first by name; a second interrupt ends it.

import Glibc
import Testing
import Training

@Suite struct StopRequestTests {
  @Test func `the first signal is remembered by name`() async {
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGUSR1, SIGTERM], "SIGUSR1") }
    await #expect(processExitsWith: .exitCode(75)) { stopAfter([SIGINT, SIGUSR1], "SIGINT") }
    await #expect(processExitsWith: .exitCode(75)) {
      stopAfter([SIGTERM, SIGTERM, SIGINT], "SIGTERM")
    }
  }

  @Test func `a second interrupt ends the process at once`() async {
    await #expect(processExitsWith: .exitCode(130)) { stopAfter([SIGINT, SIGINT], "SIGINT") }
  }
}

/// Exits with 75 when the request names `reason` after these signals, with 1 otherwise.
private func stopAfter(_ signals: [Int32], _ reason: String) {
  let request = StopRequest()
  guard !request.isRequested, request.reason == nil else { exit(2) }
  for signal in signals {
    kill(getpid(), signal)
    usleep(20_000)  // equal signals that follow at once are one
  }
  for _ in 0..<1000 where !request.isRequested { usleep(1000) }
  exit(request.reason == reason ? 75 : 1)
}
