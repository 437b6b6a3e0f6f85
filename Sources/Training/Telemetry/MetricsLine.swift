// One line of metrics.jsonl being put together: members in order, numbers that JSON can hold.

/// Collects the members of one JSON object.
///
/// JSON has no word for NaN and infinity. Such a number becomes `null`, so that a column of numbers
/// stays one, and its name and kind go into the member `not_finite`: `{"loss": "nan"}`. A member
/// whose value is not known (nil) is left out. Everything that differs from run to run by its
/// nature (seconds, rates) stands in the last member, `time`: what comes before is reproducible.
///
/// Writes text at once instead of a tree of `JSON` values: it runs once a step.
public struct MetricsLine {
  private var text = ""
  private var times = ""
  private var notFinite = ""
  /// Names of the groups that are open, for `not_finite`.
  private var path = ""

  init() {}

  /// The line of `record`, without the newline.
  public static func text(_ record: some MetricsRecord) -> String {
    var line = MetricsLine()
    line.add("kind", type(of: record).kind)
    line.add("step", record.step)
    record.write(to: &line)
    if !line.notFinite.isEmpty { line.member("not_finite", "{" + line.notFinite + "}") }
    if !line.times.isEmpty { line.member("time", "{" + line.times + "}") }
    return "{" + line.text + "}"
  }

  public mutating func add(_ name: String, _ value: Int) { member(name, String(value)) }

  public mutating func add(_ name: String, _ value: String) {
    member(name, MetricsLine.quoted(value))
  }

  public mutating func add(_ name: String, _ value: Double?) {
    guard let value else { return }
    member(name, number(value, named: name))
  }

  public mutating func add(_ name: String, _ values: [Int]) {
    member(name, "[" + values.map(String.init).joined(separator: ",") + "]")
  }

  public mutating func add(_ name: String, _ values: [Double]) {
    let numbers = values.indices.map { number(values[$0], named: "\(name).\($0)") }
    member(name, "[" + numbers.joined(separator: ",") + "]")
  }

  /// A member that is an object.
  public mutating func group(_ name: String, _ fill: (inout MetricsLine) -> Void) {
    let inside = nested(name, fill)
    member(name, inside)
  }

  /// A member that is a list of objects.
  public mutating func list<Item>(
    _ name: String, _ items: [Item], _ fill: (Item, inout MetricsLine) -> Void
  ) {
    let objects = items.indices.map { place in
      nested("\(name).\(place)") { fill(items[place], &$0) }
    }
    member(name, "[" + objects.joined(separator: ",") + "]")
  }

  /// Seconds and rates: the member `time`, the line's last.
  public mutating func times(_ fill: (inout MetricsLine) -> Void) {
    let inside = nested("time", fill).dropFirst().dropLast()
    times += times.isEmpty ? inside : "," + inside
  }

  private mutating func nested(_ name: String, _ fill: (inout MetricsLine) -> Void) -> String {
    let outer = (text, path)
    text = ""
    path += name + "."
    fill(&self)
    defer { (text, path) = outer }
    return "{" + text + "}"
  }

  private mutating func member(_ name: String, _ value: String) {
    if !text.isEmpty { text += "," }
    text += MetricsLine.quoted(name)
    text += ":"
    text += value
  }

  private mutating func number(_ value: Double, named name: @autoclosure () -> String) -> String {
    // The shortest decimal that reads back to the same bits.
    if value.isFinite { return value.description }
    let word = value.isNaN ? "nan" : value > 0 ? "inf" : "-inf"
    if !notFinite.isEmpty { notFinite += "," }
    notFinite += MetricsLine.quoted(path + name()) + ":\"" + word + "\""
    return "null"
  }

  private static func quoted(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy {
      $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
    }
    return isPlain ? "\"" + text + "\"" : JSON.string(text).compact
  }
}
