// What kind of screen there is: how wide, which characters, live or a log.

import Glibc

/// How progress is shown.
public struct ScreenStyle: Sendable, Equatable {
  public enum Flow: Sendable, Equatable {
    /// One line that changes in place, at most once in `interval` seconds; it stays every so many
    /// steps.
    case live(interval: Double, keptEvery: Int)
    /// A line every so many steps, the first and the last.
    case lines(every: Int)
  }

  public enum Glyphs: Sendable, Equatable { case unicode, ascii }

  public var flow: Flow
  /// Characters in a line.
  public var width: Int
  public var glyphs: Glyphs

  public init(flow: Flow, width: Int, glyphs: Glyphs) {
    self.flow = flow
    self.width = width
    self.glyphs = glyphs
  }

  /// Fits the open file `descriptor`: live on a terminal of its width, else lines of 100
  /// characters. Block characters where the locale of `environment` is UTF-8.
  public init(descriptor: Int32, everySteps: Int, environment: [String: String]) {
    let isTerminal = isatty(descriptor) == 1 && environment["TERM"] != "dumb"
    flow =
      isTerminal ? .live(interval: 0.1, keptEvery: everySteps) : .lines(every: everySteps)
    width = isTerminal ? ScreenStyle.columns(descriptor) ?? 80 : 100
    glyphs = ScreenStyle.isUTF8(environment) ? .unicode : .ascii
  }

  /// The first of these variables that is set and not empty decides (POSIX, 8.2).
  static func isUTF8(_ environment: [String: String]) -> Bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"]
    let locale = names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? "C"
    let encoding = locale.lowercased().filter { $0 != "-" }
    return encoding.contains("utf8")
  }

  private static func columns(_ descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}
