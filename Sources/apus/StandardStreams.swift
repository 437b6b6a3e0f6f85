// Text on standard output and standard error, which may be closed, full or slow.

import Foundation
import Glibc
import Synchronization

/// Prints a line at once, without buffering; ends the command where it cannot be written, quietly
/// where nobody reads on (`apus config | head -1`).
func say(_ text: String, terminator: String = "\n") {
  let code = StandardStreams.write(text + terminator, to: STDOUT_FILENO)
  if code == EPIPE { StandardStreams.endUnread() }
  if code != 0 { Failure.exit(with: OutputError(code: code)) }
}

/// What a command says could not be said.
struct OutputError: Error, CustomStringConvertible {
  let code: Int32
  var description: String {
    "standard output cannot be written: \(String(cString: strerror(code))) (errno \(code))"
  }
}

/// The screen of a run, which is worth more than what it shows: when it cannot be written any more,
/// that is said once on standard error, and the run goes on.
final class RunScreen: Sendable {
  private let isLost = Atomic<Bool>(false)

  func show(_ text: String) {
    guard !isLost.load(ordering: .relaxed) else { return }
    let code = StandardStreams.write(text, to: STDOUT_FILENO)
    if code != 0 && !isLost.exchange(true, ordering: .relaxed) {
      let warning = "apus: warning: \(OutputError(code: code)); training goes on without a screen\n"
      StandardStreams.write(warning, to: STDERR_FILENO)
    }
  }
}

enum StandardStreams {
  /// Opens those of the three that are closed on nothing, so that no file takes their numbers and
  /// then what is meant for the screen.
  static func openMissing() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number is this one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY)
    }
  }

  /// Lets a pipe whose reader has gone be an error of writing, so that no run dies of its screen.
  static func outliveReaders() { signal(SIGPIPE, SIG_IGN) }

  /// Ends the process as the system would have done: that nobody reads on is no mistake.
  static func endUnread() -> Never {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    // Where the signal is blocked.
    exit(128 + SIGPIPE)
  }

  /// Writes all of `text`; gives the error's number where that is impossible, else 0.
  @discardableResult
  static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&waiting, 1, 1000)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}
