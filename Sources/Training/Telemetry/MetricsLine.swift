// One line of metrics.jsonl being put together: members in order, numbers that JSON can hold.

/// Collects the members of one JSON object.
///
/// JSON has no word for NaN and infinity. Such a number becomes `null`, so that a column of numbers
/// stays one, and its name and kind go into the member `not_finite`: `{"loss": "nan"}`. A member
/// whose value is not known (nil) is left out. Everything that differs from run to run by its nature
/// (seconds, rates) stands in the last member, `time`: what comes before is reproducible.
public struct MetricsLine {
  private var members: [(String, JSON)] = []
  private var notFinite: [(String, JSON)] = []
  private var timeMembers: [(String, JSON)] = []
  /// Names of the groups that are open, for `not_finite`.
  private var path = ""

  init() {}

  /// The line of `record`, without the newline.
  public static func text(_ record: some MetricsRecord) -> String {
    var line = MetricsLine()
    line.add("kind", type(of: record).kind)
    line.add("step", record.step)
    record.write(to: &line)
    return line.json.compact
  }

  public mutating func add(_ name: String, _ value: Int) {
    members.append((name, .integer(Int64(value))))
  }

  public mutating func add(_ name: String, _ value: String) {
    members.append((name, .string(value)))
  }

  public mutating func add(_ name: String, _ value: Double?) {
    guard let value else { return }
    members.append((name, number(value, named: name)))
  }

  public mutating func add(_ name: String, _ values: [Int]) {
    members.append((name, .array(values.map { .integer(Int64($0)) })))
  }

  public mutating func add(_ name: String, _ values: [Double]) {
    var elements: [JSON] = []
    elements.reserveCapacity(values.count)
    for (index, value) in values.enumerated() {
      elements.append(number(value, named: "\(name).\(index)"))
    }
    members.append((name, .array(elements)))
  }

  /// A member that is an object.
  public mutating func group(_ name: String, _ fill: (inout MetricsLine) -> Void) {
    members.append((name, .object(nested(name, fill))))
  }

  /// A member that is a list of objects.
  public mutating func list<Item>(
    _ name: String, _ items: [Item], _ fill: (Item, inout MetricsLine) -> Void
  ) {
    var elements: [JSON] = []
    for (index, item) in items.enumerated() {
      elements.append(.object(nested("\(name).\(index)") { fill(item, &$0) }))
    }
    members.append((name, .array(elements)))
  }

  /// Seconds and rates: the member `time`, the line's last.
  public mutating func times(_ fill: (inout MetricsLine) -> Void) {
    let outer = members
    members = []
    path += "time."
    fill(&self)
    path.removeLast(5)
    timeMembers += members
    members = outer
  }

  private mutating func nested(_ name: String, _ fill: (inout MetricsLine) -> Void) -> JSONObject {
    let outer = (members, path)
    members = []
    path += name + "."
    fill(&self)
    defer { (members, path) = outer }
    return JSONObject(members)
  }

  private mutating func number(_ value: Double, named name: @autoclosure () -> String) -> JSON {
    if value.isFinite { return .number(value) }
    let word = value.isNaN ? "nan" : value > 0 ? "inf" : "-inf"
    notFinite.append((path + name(), .string(word)))
    return .null
  }

  private var json: JSON {
    var all = members
    if !notFinite.isEmpty { all.append(("not_finite", .object(JSONObject(notFinite)))) }
    if !timeMembers.isEmpty { all.append(("time", .object(JSONObject(timeMembers)))) }
    return .object(JSONObject(all))
  }
}
