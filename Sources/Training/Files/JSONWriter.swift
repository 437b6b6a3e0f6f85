// JSON values as text: members in their order, numbers that read back to the same bits.

import Kernels

extension JSON {
  /// On one line, without spaces.
  public var compact: String {
    var text = ""
    write(to: &text, indent: nil)
    return text
  }

  /// Indented by two spaces, with a newline at the end; arrays of plain values stay on one line.
  public var pretty: String {
    var text = ""
    write(to: &text, indent: 0)
    return text + "\n"
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private func write(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .boolean(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value):
      require(value.isFinite, "JSON has no word for \(value)")
      text += value.description
    case .string(let value): JSON.quote(value, into: &text)
    case .array(let elements):
      let inner = elements.allSatisfy(\.isPlain) ? nil : indent
      JSON.list(elements, "[", "]", to: &text, indent: inner, spaced: indent != nil) {
        element, text in element.write(to: &text, indent: inner.map { $0 + 1 })
      }
    case .object(let object):
      JSON.list(Array(object), "{", "}", to: &text, indent: indent, spaced: false) {
        member, text in
        JSON.quote(member.key, into: &text)
        text += indent == nil ? ":" : ": "
        member.value.write(to: &text, indent: indent.map { $0 + 1 })
      }
    }
  }

  private static func list<Item>(
    _ items: [Item], _ opening: String, _ closing: String, to text: inout String, indent: Int?,
    spaced: Bool, _ write: (Item, inout String) -> Void
  ) {
    let line = indent.map { "\n" + String(repeating: "  ", count: $0) }
    text += opening
    for (index, item) in items.enumerated() {
      if index > 0 { text += line == nil && spaced ? ", " : "," }
      if let line { text += line + "  " }
      write(item, &text)
    }
    if let line, !items.isEmpty { text += line }
    text += closing
  }

  private static func quote(_ value: String, into text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
