// Processors that a launcher leaves to the command.

import Foundation
import Testing

@Suite struct ProcessorTests {
  /// The lowest processor that this process may run on.
  private func first() throws -> Substring {
    let status = String(
      decoding: try Data(contentsOf: URL(filePath: "/proc/self/status")), as: UTF8.self)
    let line = try #require(
      status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
    return line.drop { !$0.isNumber }.prefix(while: \.isNumber)
  }

  @Test(.enabled(if: Program.has("taskset"), "taskset is not installed"), arguments: [1, 2])
  func `ranks that are bound to one processor take one thread each`(ranks: Int) throws {
    let workshop = try Workshop.shared()
    let kind = ranks == 1 ? Ranks.one : .twoThreads
    let words = kind.words(
      workshop.training(workshop.fresh("bound"), ["run.threads=0", "training.steps=1"]))
    let outcome = try workshop.start(["taskset", "-c", "\(first())"] + words).wait()
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("; \(ranks == 1 ? "1 rank" : "2 ranks") of 1 thread, float32"))
  }
}
