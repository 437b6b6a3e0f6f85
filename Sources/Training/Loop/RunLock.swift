// One process at a time writes into a run's folder.

import Glibc

/// Held while a run writes into its folder; gone with the process, however it ends.
public final class RunLock: Sendable {
  private let descriptor: Int32

  /// Makes the folder if it is not there. Throws `FileError` where another process holds it, after
  /// giving one that was just ended a second to be gone.
  public init(folder: String) throws {
    try Disk().makeFolder(folder)
    let path = "\(folder)/.lock"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(path, "cannot open the file", code: errno) }
    let patience = ContinuousClock.now + .seconds(1)
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      if code == EWOULDBLOCK && ContinuousClock.now < patience {
        usleep(20_000)
      } else if code != EINTR {
        close(descriptor)
        throw code == EWOULDBLOCK
          ? FileError(
            folder, "another process trains into it; wait for its end, or choose another run.name")
          : FileError(path, "cannot lock the file", code: code)
      }
    }
  }

  deinit { close(descriptor) }
}
