// How much memory this process takes.

import Glibc

/// Resident memory as the system counts it.
public enum ResidentMemory {
  /// The largest resident set so far, in bytes.
  public static var peak: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}
