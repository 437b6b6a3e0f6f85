// Conversations written as one text, `\n\nHuman: …\n\nAssistant: …`, as Anthropic's hh-rlhf has them.

enum Dialogue {
  private static let markers: [(text: String, role: Role)] = [
    ("\n\nHuman:", .user), ("\n\nAssistant:", .assistant),
  ]

  /// Whether a text is such a conversation.
  static func isDialogue(_ text: String) -> Bool {
    text.utf8.starts(with: markers[0].text.utf8)
  }

  /// The turns of a text that is one. Spaces and line ends around what is said are no part of it; an
  /// assistant's last turn may be empty: it is to be said.
  static func turns(_ text: String) -> [Message] {
    let bytes = Array(text.utf8)
    var starts: [(marker: Int, content: Int, role: Role)] = []
    var index = 0
    while index < bytes.count {
      let found = markers.first { bytes[index...].starts(with: $0.text.utf8) }
      if let found {
        starts.append((index, index + found.text.utf8.count, found.role))
        index += found.text.utf8.count
      } else {
        index += 1
      }
    }
    return starts.indices.map { turn in
      let end = turn + 1 < starts.count ? starts[turn + 1].marker : bytes.count
      return Message(
        starts[turn].role, trimmed(bytes[starts[turn].content..<end]))
    }
  }

  /// Without spaces and line ends around it.
  static func trimmed(_ text: String) -> String { trimmed(Array(text.utf8)[...]) }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
    func isSpace(_ byte: UInt8) -> Bool {
      byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 9
    }
    let kept = bytes.drop(while: isSpace)
    let end = kept.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? kept.startIndex
    return String(decoding: kept[kept.startIndex..<end], as: UTF8.self)
  }
}
