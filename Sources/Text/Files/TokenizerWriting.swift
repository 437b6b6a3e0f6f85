// A tokenizer as Hugging Face's tokenizer.json.

/// The format `tokenizer.json`, version 1.0, of which byte-level byte pairs and whole words are
/// understood.
enum TokenizerJSON {
  static func text(of model: TokenizerModel) -> [UInt8] {
    var output = Array(#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["#.utf8)
    appendList(model.addedTokens, to: &output) { token, output in
      output += Array(#"{"id":\#(token.id),"content":"#.utf8)
      appendJSON(token.content, to: &output)
      output += Array(
        #","single_word":false,"lstrip":false,"rstrip":false,"normalized":\#(token.isNormalized),"#
          .utf8)
      output += Array(#""special":\#(token.isSpecial)}"#.utf8)
    }
    output += Array(#"],"normalizer":\#(model.normalizes ? #"{"type":"NFC"}"# : "null"),"#.utf8)
    output += Array(#""pre_tokenizer":"#.utf8)
    appendPreTokenizer(model, to: &output)
    let decoder =
      model.spelling.isOfWords ? "null" : byteLevel(prefixSpace: true, usesRegex: true)
    output += Array(#","post_processor":null,"decoder":\#(decoder),"model":"#.utf8)
    switch model.spelling {
    case .merges(let merges): append(merges, of: model, to: &output)
    case .words(let unknown):
      output += Array(#"{"type":"WordLevel","vocab":{"#.utf8)
      appendVocabulary(model, to: &output)
      output += Array(#"},"unk_token":"#.utf8)
      appendJSON(entryText(unknown, model), to: &output)
      output += Array("}}\n".utf8)
    }
    return output
  }

  private static func append(
    _ merges: Merges, of model: TokenizerModel, to output: inout [UInt8]
  ) {
    output += Array(
      (#"{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"#
        + #""end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"#
        + #""ignore_merges":\#(model.ignoresMerges),"vocab":{"#).utf8)
    appendVocabulary(model, to: &output)
    output += Array(#"},"merges":["#.utf8)
    appendList(merges.rules, to: &output) { rule, output in
      appendJSON(
        "\(entryText(rule.left, model)) \(entryText(rule.right, model))", to: &output)
    }
    output += Array("]}}\n".utf8)
  }

  private static func byteLevel(prefixSpace: Bool, usesRegex: Bool) -> String {
    #"{"type":"ByteLevel","add_prefix_space":\#(prefixSpace),"trim_offsets":true,"#
      + #""use_regex":\#(usesRegex)}"#
  }

  private static func appendPreTokenizer(_ model: TokenizerModel, to output: inout [UInt8]) {
    switch model.pattern {
    case .gpt2:
      output += Array(byteLevel(prefixSpace: model.addsPrefixSpace, usesRegex: true).utf8)
      return
    case .whitespace:
      output += Array(#"{"type":"WhitespaceSplit"}"#.utf8)
      return
    case .qwen: break
    }
    output += Array(
      #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"#.utf8)
    appendJSON(model.pattern.regularExpression, to: &output)
    output += Array(#"},"behavior":"Isolated","invert":false},"#.utf8)
    output += Array((byteLevel(prefixSpace: false, usesRegex: false) + "]}").utf8)
  }

  private static func appendVocabulary(_ model: TokenizerModel, to output: inout [UInt8]) {
    var names: [Int32: String] = [:]
    for token in model.addedTokens { names[token.id] = token.content }
    let outside = Set(model.addedTokens.filter(\.isOutsideVocabulary).map(\.id))
    let ids = model.entries.indices.map { Int32($0) }
      .filter { model.entries[Int($0)] != nil && !outside.contains($0) }
    appendList(ids, to: &output) { id, output in
      appendJSON(names[id] ?? entryText(id, model), to: &output)
      output += Array(":\(id)".utf8)
    }
  }

  private static func entryText(_ id: Int32, _ model: TokenizerModel) -> String {
    let bytes = model.entries[Int(id)] ?? []
    return model.spelling.isOfWords
      ? String(decoding: bytes, as: UTF8.self) : ByteAlphabet.text(of: bytes)
  }

  private static func appendList<Element>(
    _ elements: [Element], to output: inout [UInt8], _ body: (Element, inout [UInt8]) -> Void
  ) {
    for (index, element) in elements.enumerated() {
      if index > 0 { output.append(UInt8(ascii: ",")) }
      body(element, &output)
    }
  }
}
