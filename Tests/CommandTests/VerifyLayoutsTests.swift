// `apus verify layouts` as a user has it: its verdict is its exit status, and it proves nothing by silence.

import Foundation
import Testing

@Suite struct VerifyLayoutsTests {
  /// What is fast, in a folder of its own, on ranks of either kind.
  private func verify(_ ranks: Ranks, _ more: [String] = []) throws -> (Outcome, folder: String) {
    let workshop = try Workshop.shared()
    let folder = workshop.fresh("verified")
    let words =
      ["verify", "layouts", "tiny.yaml", "--shrink", "--set", "run.folder=\(folder)"] + more
    return (
      ranks == .twoProcesses
        ? try workshop.run(words + ["--mpi"], on: ranks)
        : try workshop.run(words + ["--ranks", "2"]), folder
    )
  }

  private static let several = Ranks.available.filter { $0 != .one }

  @Test(arguments: several)
  func `equal layouts pass, in both precisions, and leave nothing behind`(ranks: Ranks) throws {
    for more in [[], ["--check-collectives", "--no-float32"]] {
      let (outcome, folder) = try verify(ranks, more)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let last = outcome.output.split(separator: "\n").last
      #expect(last?.hasSuffix(": passes") == true, "\(outcome.output)")
      #expect(outcome.output.contains("float32  ") == more.isEmpty)
      #expect(((try? Workshop.shared().names(folder)) ?? []).isEmpty)
    }
  }

  @Test(arguments: several)
  func `what is beyond the bar fails, in words and in the exit status`(ranks: Ranks) throws {
    let (outcome, _) = try verify(ranks, ["--bar", "0", "--no-float32"])
    #expect(outcome.status == 1, "\(outcome.errors)")
    #expect(outcome.output.split(separator: "\n").last?.hasSuffix(": FAILS") == true)
    let (told, _) = try verify(ranks, ["--bar", "0", "--no-float32", "--json"])
    #expect(told.status == 1, "\(told.errors)")
    #expect(told.output.split(separator: "\n").last?.hasSuffix(#""passes":false}"#) == true)
  }

  /// One head and one sequence: two ranks cannot share attention.
  private static let indivisible = [
    "model.heads=1", "model.keyValueHeads=1", "model.headWidth=16", "training.batch=1",
  ].flatMap { ["--set", $0] }

  @Test func `what would prove nothing is refused by name`() throws {
    let workshop = try Workshop.shared()
    let command = ["verify", "layouts", "tiny.yaml"]
    expectRefusal(
      try workshop.run(command + ["--mpi"]), status: 64, says: ["--mpi", "mpirun", "--ranks N"])
    expectRefusal(
      try workshop.run(command + ["--ranks", "3"] + Self.indivisible), status: 64,
      says: ["no legal layout of 2 to 3 ranks", "accepted: 1"])
    guard Program.hasMPI else { return }
    expectRefusal(
      try workshop.run(command + ["--mpi"] + Self.indivisible, on: .twoProcesses), status: 64,
      says: ["no legal layout of 2 ranks", "accepted: 1"])
  }

  @Test(arguments: several)
  func `a model that has no room is refused, with what would do`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let command =
      ["verify", "layouts", "tiny.yaml"]
      + ["model.width=1048576", "model.vocabulary=1048576"].flatMap { ["--set", $0] }
    expectRefusal(
      ranks == .twoProcesses
        ? try workshop.run(command + ["--mpi"], on: ranks)
        : try workshop.run(command + ["--ranks", "2"]), status: 64,
      says: ["the model has", "of memory", "accepted: --shrink, smaller model.width"])
  }
}
