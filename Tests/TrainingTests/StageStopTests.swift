// A run that is asked to stop, in a process of its own: it saves before anything else, and what it puts
// off is done by the run that goes on, once.

import Foundation
import Stages
import Testing
import Training

@Suite struct StageStopTests {
  @Test func `a run that is asked to stop saves first, and evaluates when it goes on`() async {
    await #expect(processExitsWith: .success) { try stopWhereAnEvaluationIsDue() }
  }
}

/// Stops at step 4 of 6, where an evaluation is due as it is at steps 2 and 6.
private func stopWhereAnEvaluationIsDue() throws {
  let fixture = try StageFixture()
  let runs = "\(fixture.folder)/runs"
  func run(_ name: String, stoppingAt stop: Int? = nil, resuming: Bool = false) throws -> RunOutcome
  {
    let configuration = fixture.configuration(.sft) {
      ($0.run.name, $0.training.steps, $0.evaluation.every) = (name, 6, 2)
      $0.checkpoint.every = 0
    }
    let style = ScreenStyle(flow: .lines(every: 1), width: 100, glyphs: .ascii)
    let request = StopRequest()
    var run = StageRun(SupervisedFineTuning.self, configuration, style: style) { text in
      guard let stop, text.contains("\(stop)/6") else { return }
      // To the process: this thread may not take signals.
      kill(getpid(), SIGUSR1)
      for _ in 0..<1000 where !request.isRequested { usleep(1000) }
    }
    run.isResuming = resuming
    run.stop = request
    return try run.run(on: .alone())
  }
  /// Lines of the run's metrics without times.
  func lines(_ name: String) throws -> [Substring] {
    let text = try String(contentsOfFile: "\(runs)/\(name)/metrics.jsonl", encoding: .utf8)
    return text.split(separator: "\n").map { line in
      line.range(of: ",\"time\":").map { line[..<$0.lowerBound] } ?? line
    }
  }
  /// The steps whose evaluation is in the metrics.
  func evaluated(_ name: String) throws -> [Int] {
    try lines(name).filter { $0.hasPrefix("{\"kind\":\"evaluation\"") }.compactMap { line in
      try JSON(parsing: Array((line + "}").utf8), source: name)["step"]?.asInteger
    }
  }
  try #require(try run("whole") == .finished)
  try #require(try evaluated("whole") == [2, 4, 6])

  try #require(try run("cut", stoppingAt: 4) == .stopped(step: 4))
  try #require(try evaluated("cut") == [2])
  try #require(try run("cut", resuming: true) == .finished)
  try #require(try lines("cut") == lines("whole"))

  // Once more from step 4, as after a kill: what was measured there is known.
  try FileManager.default.removeItem(atPath: "\(runs)/cut/step-00000006")
  try #require(try run("cut", resuming: true) == .finished)
  try #require(try lines("cut") == lines("whole"))
}
