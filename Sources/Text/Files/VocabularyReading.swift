// Vocabulary, merges and added tokens of tokenizer.json, checked against each other.

/// Turns `model.vocab`, `model.merges` and `added_tokens` into ids.
struct VocabularyReading {
  private let component: TokenizerComponent
  private let added: [AddedToken]

  init(_ component: TokenizerComponent, added: [AddedToken]) {
    self.component = component
    self.added = added
  }

  /// Byte-level byte pairs.
  func bytePairs(_ options: TokenizerModel.Options) throws -> TokenizerModel {
    var reading = try entries { ByteAlphabet.bytes(of: $0) ?? Array($0.utf8) }
    let merges = Merges(rules: try rules(reading.ids), byteTokens: try byteTokens(reading.ids))
    var merged = Set(merges.byteTokens)
    for rule in merges.rules { merged.formUnion([rule.left, rule.right, rule.result]) }
    // Decoding gives back the string as it was found, unless merges make the same entry of bytes.
    let all = try placeAdded(in: &reading) { !merged.contains($0) }
    return TokenizerModel(
      options, entries: reading.entries, spelling: .merges(merges), addedTokens: all)
  }

  /// Whole words, of which `unk_token` stands for all others.
  func words(_ options: TokenizerModel.Options) throws -> TokenizerModel {
    var reading = try entries { Array($0.utf8) }
    guard let name = component["unk_token"]?.asString, let unknown = reading.ids[Array(name.utf8)]
    else {
      throw component.child("unk_token").error(
        "\(component["unk_token"]?.asString.map { "\"\($0)\" is not in vocab" } ?? "is missing"); "
          + "accepted: the entry of vocab that unknown words become")
    }
    let all = try placeAdded(in: &reading) { _ in true }
    return TokenizerModel(
      options, entries: reading.entries, spelling: .words(unknown: unknown), addedTokens: all)
  }

  /// What `vocab` holds.
  private struct Reading {
    var ids: [[UInt8]: Int32] = [:]
    var entries: [[UInt8]?] = []
    /// Ids are below.
    let limit: Int
  }

  private func entries(_ bytes: (String) -> [UInt8]) throws -> Reading {
    let vocabulary = component.child("vocab")
    guard let members = vocabulary.value.asObject else {
      throw vocabulary.error("is \(vocabulary.value.kind); accepted: an object of ids")
    }
    var reading = Reading(limit: 4 * (members.count + added.count) + 1024)
    reading.ids.reserveCapacity(members.count)
    for (name, value) in members {
      guard let id = value.asInteger else {
        throw vocabulary.error("\"\(name)\" has \(value.kind) as id; accepted: a whole number")
      }
      try place(bytes(name), id, name, in: &reading)
      reading.ids[Array(name.utf8)] = Int32(id)
    }
    return reading
  }

  private func place(
    _ bytes: [UInt8], _ id: Int, _ name: String, in reading: inout Reading
  ) throws {
    let vocabulary = component.child("vocab")
    let limit = reading.limit
    guard (0..<limit).contains(id) else {
      throw vocabulary.error("\"\(name)\" has the id \(id); accepted: 0 to \(limit - 1)")
    }
    while reading.entries.count <= id { reading.entries.append(nil) }
    guard reading.entries[id] == nil else {
      throw vocabulary.error("the id \(id) of \"\(name)\" is taken by another entry")
    }
    reading.entries[id] = bytes
  }

  /// Brings the added tokens among the entries; an entry becomes its token's string where it may.
  private func placeAdded(
    in reading: inout Reading, mayReplace: (Int32) -> Bool
  ) throws -> [AddedToken] {
    try added.map { token in
      var token = token
      if let id = reading.ids[Array(token.content.utf8)] {
        guard id == token.id else {
          throw component.error(
            "added_tokens gives \"\(token.content)\" the id \(token.id), vocab \(id); accepted: one id"
          )
        }
      } else {
        token.isOutsideVocabulary = true
        try place([], Int(token.id), token.content, in: &reading)
      }
      if mayReplace(token.id) { reading.entries[Int(token.id)] = Array(token.content.utf8) }
      return token
    }
  }

  private func byteTokens(_ ids: [[UInt8]: Int32]) throws -> [Int32] {
    try (UInt8.min...UInt8.max).map { byte in
      let name = ByteAlphabet.text(of: [byte])
      guard let id = ids[Array(name.utf8)] else {
        throw component.child("vocab").error(
          "lacks \"\(name)\", the entry of byte \(byte); accepted: byte-level vocabularies that "
            + "hold all 256 bytes")
      }
      return id
    }
  }

  private func rules(_ ids: [[UInt8]: Int32]) throws -> [MergeRule] {
    try component.children("merges").map { merge in
      let pair: [[UInt8]]
      if let text = merge.value.asString {
        pair = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
          .map { Array($0) }
      } else {
        pair = (merge.value.asArray ?? []).compactMap { $0.asString.map { Array($0.utf8) } }
      }
      guard pair.count == 2 else {
        throw merge.error("accepted: \"left right\" or [\"left\", \"right\"]")
      }
      let found = [pair[0], pair[1], pair[0] + pair[1]].map { name in (name, ids[name]) }
      if let missing = found.first(where: { $0.1 == nil }) {
        throw merge.error("\"\(String(decoding: missing.0, as: UTF8.self))\" is not in model.vocab")
      }
      return MergeRule(left: found[0].1!, right: found[1].1!, result: found[2].1!)
    }
  }
}
