// The comparison at start: what must be equal on all ranks, by name.

/// Compares named values over all ranks before anything is computed.
public enum Handshake {
  /// - Throws: `HandshakeError`, on every rank alike, naming the first field that differs, the
  ///   ranks on each side and their values.
  public static func check(
    _ fields: [(name: String, value: String)], over communicator: Communicator
  ) throws {
    let all = communicator.gather(fields.map { [$0.name, $0.value] })
    var names: [String] = []
    for field in all.joined() where !names.contains(field[0]) { names.append(field[0]) }
    for name in names {
      let values = all.map { fields in fields.first { $0[0] == name }?[1] }
      var sides: [(value: String?, ranks: [Int])] = []
      for (rank, value) in values.enumerated() {
        if let side = sides.firstIndex(where: { $0.value == value }) {
          sides[side].ranks.append(rank)
        } else {
          sides.append((value, [rank]))
        }
      }
      if sides.count > 1 {
        throw HandshakeError(
          field: name, sides: distinct(sides).map { .init(value: $0.value, ranks: $0.ranks) })
      }
    }
  }

  /// Of values of many lines, a configuration say, only the lines that not all have.
  private static func distinct(
    _ sides: [(value: String?, ranks: [Int])]
  ) -> [(value: String?, ranks: [Int])] {
    let lines = sides.map { $0.value?.split(separator: "\n") ?? [] }
    guard lines.contains(where: { $0.count > 1 }) else { return sides }
    let common = lines.dropFirst().reduce(Set(lines[0])) { $0.intersection($1) }
    return zip(sides, lines).map { side, lines in
      (
        side.value == nil
          ? nil : lines.filter { !common.contains($0) }.prefix(4).joined(separator: ", "),
        side.ranks
      )
    }
  }
}

/// A field that differs between ranks.
public struct HandshakeError: AgreedError, CustomStringConvertible {
  public struct Side: Sendable {
    /// Nil where the ranks do not have the field.
    public let value: String?
    public let ranks: [Int]
  }

  public let field: String
  public let sides: [Side]

  public var description: String {
    let parts = sides.map { side in
      "\(rankList(side.ranks)): \(side.value.map { "'\($0)'" } ?? "missing")"
    }
    return "\(field) must be equal on all ranks: \(parts.joined(separator: "; "))"
  }
}
