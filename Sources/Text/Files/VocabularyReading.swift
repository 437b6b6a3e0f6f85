// Vocabulary and merges of tokenizer.json, checked against each other.

/// Turns `model.vocab` and `model.merges` into ids.
struct VocabularyReading {
  private let component: TokenizerComponent
  private let added: [AddedToken]

  init(_ component: TokenizerComponent, added: [AddedToken]) {
    self.component = component
    self.added = added
  }

  func model(_ options: TokenizerModel.Options) throws -> TokenizerModel {
    let vocabulary = component.child("vocab")
    guard let members = vocabulary.value.asObject else {
      throw vocabulary.error("is \(vocabulary.value.kind); accepted: an object of ids")
    }
    var ids: [[UInt8]: Int32] = Dictionary(minimumCapacity: members.count)
    let limit = 4 * (members.count + added.count) + 1024
    var entries: [[UInt8]?] = []
    func place(_ bytes: [UInt8], _ id: Int, _ name: String) throws {
      guard (0..<limit).contains(id) else {
        throw vocabulary.error("\"\(name)\" has the id \(id); accepted: 0 to \(limit - 1)")
      }
      while entries.count <= id { entries.append(nil) }
      guard entries[id] == nil else {
        throw vocabulary.error("the id \(id) of \"\(name)\" is taken by another entry")
      }
      entries[id] = bytes
    }
    for (name, value) in members {
      guard let id = value.asInteger else {
        throw vocabulary.error("\"\(name)\" has \(value.kind) as id; accepted: a whole number")
      }
      try place(ByteAlphabet.bytes(of: name) ?? Array(name.utf8), id, name)
      ids[Array(name.utf8)] = Int32(id)
    }
    let merges = Merges(rules: try rules(ids), byteTokens: try byteTokens(ids))
    var merged = Set(merges.byteTokens)
    for rule in merges.rules { merged.formUnion([rule.left, rule.right, rule.result]) }
    var all: [AddedToken] = []
    for var token in added {
      if let id = ids[Array(token.content.utf8)] {
        guard id == token.id else {
          throw component.error(
            "added_tokens gives \"\(token.content)\" the id \(token.id), vocab \(id); accepted: one id"
          )
        }
      } else {
        token.isOutsideVocabulary = true
        try place([], Int(token.id), token.content)
      }
      // Decoding gives back the string as it was found, unless merges make the same entry of bytes.
      if !merged.contains(token.id) { entries[Int(token.id)] = Array(token.content.utf8) }
      all.append(token)
    }
    return TokenizerModel(options, entries: entries, merges: merges, addedTokens: all)
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
