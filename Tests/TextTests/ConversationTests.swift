// Files of instructions and preferences: the forms that are read, what is refused, what is learned.

import Foundation
import Testing
import Text

@Suite struct ConversationTests {
  private let question = Message(.user, "two plus two?")
  private let answer = Message(.assistant, "four")

  private func instructions(
    _ lines: String, _ badLines: BadLines = .refused
  ) throws -> ExampleFile<InstructionExample> {
    let folder = try TemporaryFolder()
    return try ExampleFile(instructions: folder.write("t.jsonl", lines), badLines: badLines)
  }

  private func preferences(
    _ lines: String, _ badLines: BadLines = .refused
  ) throws -> ExampleFile<PreferenceExample> {
    let folder = try TemporaryFolder()
    return try ExampleFile(preferences: folder.write("t.jsonl", lines), badLines: badLines)
  }

  private static let user = #"{"role":"user","content":"two plus two?"}"#
  private static let right = #"{"role":"assistant","content":"four"}"#
  private static let wrong = #"{"role":"assistant","content":"five"}"#

  @Test(arguments: [
    #"{"messages":[\#(user),\#(right)],"source":"x"}"#,
    #"{"text":"\n\nHuman: two plus two?\n\nAssistant: four"}"#,
  ])
  func `a whole conversation is read`(line: String) throws {
    #expect(
      try instructions(line).examples == [
        InstructionExample(prompt: .messages([]), completion: .messages([question, answer]))
      ])
  }

  @Test(arguments: [
    #"{"prompt":[\#(user)],"completion":[\#(right)]}"#,
    #"{"prompt":[\#(user)],"completion":"four"}"#,
    #"{"prompt":"\n\nHuman: two plus two?\n\nAssistant:","completion":" four"}"#,
  ])
  func `prompt and completion are read as messages`(line: String) throws {
    #expect(
      try instructions(line).examples == [
        InstructionExample(prompt: .messages([question]), completion: .messages([answer]))
      ])
  }

  @Test func `strings stay as they are`() throws {
    let found = try instructions("{\"prompt\":\"2+2=\",\"completion\":\" 4\\n\"}\n").examples
    #expect(found == [InstructionExample(prompt: .text("2+2="), completion: .text(" 4\n"))])
  }

  @Test(arguments: [
    #"{"prompt":[\#(user)],"chosen":[\#(right)],"rejected":[\#(wrong)],"margin":0.5}"#,
    #"{"prompt":[\#(user)],"chosen":"four","rejected":"five","margin":0.5}"#,
    #"{"chosen":[\#(user),\#(right)],"rejected":[\#(user),\#(wrong)],"margin":0.5}"#,
    #"{"prompt":"two plus two?","chosen":[\#(user),\#(right)],"rejected":[\#(user),\#(wrong)],"margin":0.5}"#,
    #"{"chosen":"\n\nHuman: two plus two?\n\nAssistant: four","rejected":"\n\nHuman: two plus two?\n\nAssistant: five","margin":0.5}"#,
  ])
  func `every form of a pair is read alike`(line: String) throws {
    #expect(
      try preferences(line).examples == [
        PreferenceExample(
          prompt: .messages([question]), chosen: .messages([answer]),
          rejected: .messages([Message(.assistant, "five")]), margin: 0.5)
      ])
  }

  @Test func `a shared answer before the completions belongs to the prompt`() throws {
    let more = #"{"role":"user","content":"sure?"}"#
    let line =
      #"{"chosen":[\#(Self.user),\#(Self.right),\#(more),\#(Self.right)],"#
      + #""rejected":[\#(Self.user),\#(Self.right),\#(more),\#(Self.wrong)]}"#
    let found = try preferences(line).examples[0]
    #expect(found.prompt == .messages([question, answer, Message(.user, "sure?")]))
    #expect(found.margin == nil)
    // Where one goes on longer, the completions still begin with an answer.
    let longer =
      #"{"chosen":[\#(Self.user),\#(Self.right),\#(more),\#(Self.right)],"#
      + #""rejected":[\#(Self.user),\#(Self.right)]}"#
    let cut = try preferences(longer).examples[0]
    #expect(cut.prompt == .messages([question]) && cut.rejected == .messages([answer]))
  }

  @Test(arguments: [
    (#"{"messages":[{"role":"robot","content":"x"}]}"#, "field messages[0].role"),
    (#"{"messages":[{"role":"user"}]}"#, "field messages[0].content: is missing"),
    (#"{"messages":[{"role":"user","content":3}]}"#, "field messages[0].content: is a number"),
    (#"{"messages":[]}"#, "field messages: is empty"),
    (#"{"messages":["x"]}"#, "field messages[0]: is a string"),
    (#"{"messages":"x"}"#, "field messages: is plain text"),
    (#"{"messages":[\#(user)]}"#, "not the assistant's"),
    (#"{"messages":[\#(right)]}"#, "field messages[0]: is assistant's turn after nothing"),
    (#"{"messages":[\#(user),\#(user),\#(right)]}"#, "messages[1]: is user's turn after user"),
    (#"{"messages":[\#(user),{"role":"assistant","content":""}]}"#, "messages[1]: has no content"),
    (#"{"messages":[\#(user),\#(right)],"completion":"x"}"#, "has both"),
    (#"{"prompt":"x"}"#, "has no \"messages\""),
    (#"{"completion":"x"}"#, "field prompt: is missing"),
    (#"{"prompt":"","completion":"x"}"#, "field prompt: is empty"),
    (#"{"prompt":"x","completion":[\#(right)]}"#, "field completion: is a list"),
    (#"{"prompt":[\#(user),\#(right)],"completion":"x"}"#, "field prompt: does not end"),
    (#"{"prompt":"x","completion":"a\u0000"}"#, "field completion: has a NUL"),
    (#"{"text":"no dialogue"}"#, "field text: is plain text"),
    (#"["x"]"#, "is an array"),
    (#"{"prompt":"x""#, "no valid JSON"),
    ("", "no valid JSON"),
  ])
  func `a bad instruction is refused with its place and can be skipped`(
    line: String, words: String
  ) throws {
    let good = #"{"prompt":"a","completion":"b"}"#
    let lines = "\(good)\n\(line)\n\(good)\n"
    do {
      _ = try instructions(lines)
      Issue.record("accepted")
    } catch {
      let said = "\(error)"
      #expect(said.contains("t.jsonl, line 2") && said.contains(words), "\(said)")
    }
    let skipped = try instructions(lines, .skipped)
    #expect(skipped.examples.count == 2 && skipped.skippedLines == 1)
    #expect(skipped.firstReasons.count == 1 && "\(skipped.firstReasons[0])".contains(words))
  }

  @Test(arguments: [
    (#"{"prompt":"p","chosen":"a","rejected":"a"}"#, "field rejected: equals chosen"),
    (#"{"prompt":"p","chosen":"a"}"#, "field rejected: is missing"),
    (#"{"chosen":"a","rejected":"b"}"#, "field chosen: is text without a prompt"),
    (#"{"prompt":"p","chosen":"a","rejected":"b","margin":"1"}"#, "field margin: is a string"),
    (
      #"{"prompt":"p","chosen":[\#(user),\#(right)],"rejected":[\#(user),\#(wrong)]}"#,
      "field prompt"
    ),
    (
      #"{"chosen":[\#(user),\#(right)],"rejected":[{"role":"user","content":"other"},\#(wrong)]}"#,
      "field rejected: does not begin"
    ),
    (
      #"{"chosen":"\n\nHuman: a\n\nAssistant:","rejected":"\n\nHuman: a\n\nAssistant: b"}"#,
      "field chosen[1]: has no content"
    ),
  ])
  func `a bad pair is refused with its place and can be skipped`(
    line: String, words: String
  ) throws {
    let lines = "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n\(line)\n"
    do {
      _ = try preferences(lines)
      Issue.record("accepted")
    } catch {
      let said = "\(error)"
      #expect(said.contains("t.jsonl, line 2") && said.contains(words), "\(said)")
    }
    #expect(try preferences(lines, .skipped).skippedLines == 1)
  }

  @Test func `a file without examples is refused even when bad lines are skipped`() throws {
    for (lines, words) in [("", "holds no examples"), ("x\ny\n", "2 lines, all left out")] {
      #expect {
        try instructions(lines, .skipped)
      } throws: {
        "\($0)".contains(words)
      }
    }
    #expect(throws: TextError.self) {
      try ExampleFile(preferences: "/nowhere/t.jsonl", badLines: .skipped)
    }
    let half = Array("{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"x\":\"".utf8) + [0xc3]
    let path = try TemporaryFolder()
    let file = try ExampleFile(
      instructions: path.write("u.jsonl", half + Array("\n".utf8)), badLines: .skipped)
    #expect("\(file.firstReasons[0])".contains("UTF-8"))
  }
}
