// Standard output and standard error that are full or closed, and numbers that are none.

import Foundation
import Testing

@Suite struct OutputTests {
  /// Runs `apus` with its streams changed by a shell.
  private func run(_ arguments: [String], _ streams: String, on ranks: Ranks = .one) throws
    -> Outcome
  {
    try Workshop.shared().start(
      ["bash", "-c", "exec \"$@\" \(streams)", "bash"] + ranks.words(arguments)
    ).wait()
  }

  @Test(arguments: [
    ["config"], ["config", "tiny.yaml", "--bare"], ["evaluate", Workshop.run],
    ["generate", Workshop.run, "--prompt", "the", "--length", "2"],
    ["checkpoint", "list", "--folder", "runs"], ["checkpoint", "show", Workshop.run],
    ["tokenizer", "encode", "tokenizer.json", "--text", "the"],
    ["tokenizer", "decode", "tokenizer.json", "65"],
  ])
  func `a result that cannot be written is an error`(arguments: [String]) throws {
    expectRefusal(
      try run(arguments, "> /dev/full"), says: ["standard output", "No space left on device"])
  }

  /// Standard output as a pipe whose reader has gone: `pipe` is a named one, open to read only while it
  /// is opened to write.
  private static func unread(_ pipe: String) -> String { "3<>\(pipe) 4>\(pipe) 3<&- >&4 4>&-" }

  private func pipe() throws -> String {
    let name = try Workshop.shared().fresh("pipe")
    #expect(mkfifo(try Workshop.shared().path(name), 0o600) == 0)
    return name
  }

  @Test(arguments: [
    ["config"], ["--help"], ["evaluate", Workshop.run],
    ["generate", Workshop.run, "--prompt", "the", "--length", "2"],
    ["checkpoint", "show", Workshop.run],
  ])
  func `a result that nobody reads on is no mistake, and ends quietly`(arguments: [String]) throws {
    let outcome = try run(arguments, Self.unread(try pipe()))
    // Help comes of the argument parser, which does not look whether it was read.
    #expect(outcome.status == -SIGPIPE || (arguments == ["--help"] && outcome.status == 0))
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.seconds < longestRefusal)
  }

  @Test func `a mistake has its status even where nobody hears of it`() throws {
    #expect(try run(["pretrain", "none.yaml"], "2> /dev/full").status == 64)
    #expect(try run(["pretrain", "none.yaml"], "2>&-").status == 64)
    #expect(try run(["evaluate", "nowhere"], "2>&- >&- <&-").status == 1)
  }

  @Test(arguments: Ranks.available.filter { $0 != .twoProcesses })
  func `training goes on when its screen is gone`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let expected = try workshop.bytes("\(Workshop.run)/metrics.jsonl").count { $0 == 10 }
    for (streams, warnings) in [
      ("> /dev/full", 1), (Self.unread(try pipe()), 1), (">&-", 0), (">&- 2>&- <&-", 0),
    ] {
      let name = workshop.fresh("dark")
      let outcome = try run(workshop.training(name), streams, on: ranks)
      #expect(outcome.status == 0)
      #expect(outcome.complaints.count == warnings, "\(outcome.errors)")
      let metrics = try workshop.bytes("runs/\(name)/metrics.jsonl")
      #expect(metrics.count { $0 == 10 } == expected)
      #expect(metrics.split(separator: 10).allSatisfy { $0.first == UInt8(ascii: "{") })
      if ranks == .one {
        #expect(
          try workshop.tensors("runs/\(name)/step-00000020") == workshop.tensors(Workshop.lastStep))
      }
    }
  }

  @Test(arguments: Ranks.available)
  func `a number that is not finite ends the run before the update`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("wild")
    let settings = ["optimizer.learningRate=1e30", "optimizer.clip=0", "checkpoint.every=1"]
    expectRefusal(
      try workshop.run(workshop.training(name, settings), on: ranks),
      says: ["step 2", "not finite", "rank 0 of \(ranks == .one ? 1 : 2)", "gradient of "])
    let left = try workshop.names("runs/\(name)").filter { $0.hasPrefix("step-") }
    #expect(left == ["step-00000001"])
    try workshop.succeed(["checkpoint", "verify", "runs/\(name)"])
  }
}
