// Ranks that stop, skip a collective or meet another one: named, and over for all in bounded time.

import Foundation
import Testing

@Suite(.enabled(if: Program.hasMPI, "mpirun is not installed"))
struct WatchedRanksTests {
  /// Lines that Apus said.
  private func said(_ outcome: Outcome) -> [Substring] {
    outcome.errors.split(separator: "\n").filter { $0.hasPrefix("apus: ") }
  }

  /// Four ranks of the test program with a fault of `PlantedFaults`.
  private func plant(_ fault: String) throws -> Outcome {
    let workshop = try Workshop.shared()
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let watched =
      fault.hasPrefix("checked")
      ? [] : ["APUS_PLANTED_FOLDER=\(workshop.path(workshop.fresh("watched")))"]
    let words =
      ["APUS_PLANTED_FAULT=\(fault)"] + watched + Program.mpirun
      + ["-n", "4", tests, "--testing-library", "swift-testing", "--no-parallel", "--filter"]
    return try workshop.start(words + ["PlantedFaults"]).wait()
  }

  private static let site = "ParallelTests/PlantedFaults.swift"

  @Test func `checked ranks that meet different collectives are told both lines`() throws {
    let outcome = try plant("checked-other")
    #expect(outcome.status == 1, "\(outcome.errors)")
    let lines = said(outcome)
    #expect(lines.count == 1, "\(outcome.errors)")
    for words in [
      "mismatched collectives in group 'world'", "ranks 0, 1, 2 came for sum of 2 float64 at",
      "rank 3 came for barrier at", "\(Self.site):", "step 3",
    ] {
      #expect(lines.first?.contains(words) == true, "\(outcome.errors)")
    }
    #expect(outcome.seconds < longestRefusal)
  }

  @Test func `a rank that skips a collective is named by the watchdog`() throws {
    let outcome = try plant("skips")
    #expect(outcome.status == 1, "\(outcome.errors)")
    let lines = said(outcome)
    // What holds the run up, and a line a rank.
    #expect(lines.count == 5, "\(outcome.errors)")
    #expect(
      lines.first?.hasPrefix("apus: rank 3 of 4 waits in maximum (call 3 of 'tensor'") == true,
      "\(outcome.errors)")
    #expect(lines.first?.contains("no rank has gone on for 1 s") == true)
    #expect(
      lines.last?.hasPrefix(
        "apus:   rank 3 of 4: data 1, tensor 1; expert-data 3: step 3, waits in maximum") == true)
    #expect(outcome.seconds < longestRefusal)
  }

  @Test(arguments: ["computes", "half-splits"])
  func `a rank that never comes is named by the watchdog`(fault: String) throws {
    let outcome = try plant(fault)
    #expect(outcome.status == 1, "\(outcome.errors)")
    #expect(
      said(outcome).first?.hasPrefix(
        "apus: rank 3 of 4 is in no collective, while the others wait; ") == true,
      "\(outcome.errors)")
    #expect(outcome.seconds < longestRefusal)
  }

  @Test(arguments: [0, 2])
  func `a stopped rank is named, and ended with the others`(victim: Int) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("stopped")
    let child = try workshop.start(
      Program.mpirun + ["-n", "3", Program.apus]
        + workshop.training(name, ["training.steps=100000", "run.watchdogSeconds=1"]))
    #expect(workshop.wait(for: 8, of: name, child))
    let ranks = child.ranks
    try #require(ranks.count == 3)
    let moment = ContinuousClock.now
    kill(ranks[victim], SIGSTOP)
    let outcome = child.wait()
    let took = ContinuousClock.now - moment
    #expect(outcome.status == 1, "\(outcome.errors)")
    let lines = said(outcome)
    #expect(lines.count == 4, "\(outcome.errors)")
    #expect(
      lines.first?.hasPrefix(
        "apus: rank \(victim) of 3 is stopped; no rank has gone on for 1 s; ") == true,
      "\(outcome.errors)")
    #expect(
      lines.dropFirst(victim + 1).first?.contains("stopped, process \(ranks[victim]) on") == true)
    #expect(took < .seconds(longestRefusal))
    while ranks.contains(where: isAlive) && ContinuousClock.now - moment < .seconds(longestRefusal)
    {
      usleep(2000)
    }
    for id in ranks { #expect(!isAlive(id), "process \(id) is left") }
    // What was said stays with the run.
    #expect(
      try String(decoding: workshop.bytes("runs/\(name)/.heartbeat/report"), as: UTF8.self)
        == lines.map { $0 + "\n" }.joined())
  }

  @Test func `a stopped rank of a benchmark is named, and ended with the others`() throws {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("watched")
    let child = try workshop.start(
      Ranks.twoProcesses.words(
        ["benchmark", "tiny.yaml", "--steps", "100000000"]
          + ["model.vocabulary=300", "run.folder=\(folder)", "run.watchdogSeconds=1"].flatMap {
            ["--set", $0]
          }))
    func heartbeats() -> [String] {
      let jobs = (try? workshop.names(folder)) ?? []
      return jobs.flatMap { (try? workshop.names("\(folder)/\($0)")) ?? [] }
    }
    let patience = ContinuousClock.now + .seconds(longestRefusal)
    while heartbeats() != ["rank-0000", "rank-0001"] && ContinuousClock.now < patience {
      usleep(2000)
    }
    let ranks = child.ranks
    try #require(ranks.count == 2)
    kill(ranks[1], SIGSTOP)
    let outcome = child.wait()
    #expect(outcome.status == 1, "\(outcome.errors)")
    let lines = said(outcome)
    #expect(
      lines.first?.hasPrefix("apus: rank 1 of 2 is stopped; no rank has gone on for 1 s; ") == true,
      "\(outcome.errors)")
    #expect(lines.count == 3 && lines[1].hasPrefix("apus:   rank 0 of 2"))
  }

  @Test func `a good run takes its heartbeat away, and checking changes no bit`() throws {
    let workshop = try Workshop.shared()
    let tensors = try [[], ["--check-collectives"]].map { options in
      let name = workshop.fresh("healthy")
      let arguments = workshop.training(name, ["run.watchdogSeconds=20"]) + options
      try workshop.succeed(arguments, on: .twoProcesses)
      #expect(try !workshop.names("runs/\(name)").contains(".heartbeat"))
      return try workshop.tensors("runs/\(name)/step-00000020")
    }
    #expect(tensors[0] == tensors[1] && !tensors[0].isEmpty)
  }

  @Test func `ranks that are not all checked are told so`() throws {
    let workshop = try Workshop.shared()
    let words = [Program.apus] + workshop.training("never")
    let outcome = try workshop.start(
      Program.mpirun + ["-n", "1"] + words + [":", "-n", "1"] + words + ["--check-collectives"]
    ).wait()
    expectRefusal(
      outcome, says: ["checking of collectives must be equal", "rank 0: 'off'", "rank 1: 'on'"])
  }

  @Test(arguments: Ranks.available)
  func `a profile shows what was moved, and leaves a timeline`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("profiled")
    let outcome = try workshop.run(workshop.training(name) + ["--profile"], on: ranks)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("timeline: runs/\(name)/trace.json"))
    #expect(outcome.output.contains("sent/least") == (ranks != .one))
    let json = try JSONSerialization.jsonObject(
      with: Data(workshop.bytes("runs/\(name)/trace.json")))
    let events = try #require((json as? [String: Any])?["traceEvents"] as? [[String: Any]])
    let lanes = Set(events.compactMap { $0["pid"] as? Int })
    #expect(lanes == (ranks == .one ? [0] : [0, 1]))
    for lane in lanes {
      let names = events.filter { $0["pid"] as? Int == lane }.compactMap { $0["name"] as? String }
      for phase in ["step", "data", "forward", "backward", "reduce", "update", "save"] {
        #expect(names.contains(phase), "\(phase) on rank \(lane)")
      }
      #expect(names.contains("sum · world") == (ranks != .one))
      #expect(names.contains("Products.product"))
    }
  }
}
