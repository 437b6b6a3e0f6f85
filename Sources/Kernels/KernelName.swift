// Which kernel works, for whoever watches a team of threads.

/// The function that shares its tasks among a team, as the compiler names it.
public struct KernelName: Hashable, Sendable, CustomStringConvertible {
  private let function: StaticString
  private let file: StaticString

  init(function: StaticString, file: StaticString) {
    self.function = function
    self.file = file
  }

  /// `Products.product`
  public var description: String {
    let stem = "\(file)".split(separator: "/").last?.split(separator: ".").first ?? ""
    return "\(stem).\("\(function)".prefix { $0 != "(" })"
  }

  // The compiler keeps one copy of each text: its place tells it from others.
  public static func == (a: Self, b: Self) -> Bool {
    a.function.utf8Start == b.function.utf8Start && a.file.utf8Start == b.file.utf8Start
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(function.utf8Start)
    hasher.combine(file.utf8Start)
  }
}
