// Files of prompts alone.

import Foundation
import Testing
import Text

@Suite struct PromptFileTests {
  private func read(_ lines: String) throws -> [Passage] {
    let path = NSTemporaryDirectory() + "apus-prompts-\(UUID().uuidString).jsonl"
    try Data(lines.utf8).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try ExampleFile(prompts: path).examples
  }

  @Test func `texts, messages and dialogues are prompts, and other fields are not looked at`()
    throws
  {
    let prompts = try read(
      #"""
      {"prompt": "<bos> 3 1 =", "completion": 7}
      {"prompt": [{"role": "user", "content": "hi"}]}
      {"prompt": "\n\nHuman: hi\n\nAssistant:"}
      """#)
    let hi = Passage.messages([Message(.user, "hi")])
    #expect(prompts == [.text("<bos> 3 1 ="), hi, hi])
  }

  @Test(arguments: [
    (#"{"completion": "x"}"#, "field prompt: is missing"),
    (#"{"prompt": ""}"#, "field prompt: is empty"),
    (#"{"prompt": [{"role": "assistant", "content": "x"}]}"#, "does not end with the user's turn"),
  ])
  func `a line without a prompt is refused with its number`(line: String, says: String) {
    let error = #expect(throws: TextError.self) { try read("{\"prompt\": \"a\"}\n" + line) }
    #expect(error?.description.contains("line 2") == true)
    #expect(error?.description.contains(says) == true, "\(error!)")
  }
}
