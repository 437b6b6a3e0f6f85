// Processes that may have few addresses (`ulimit -v`), as batch systems set it.

import Testing

@Suite struct AddressLimitTests {
  private func run(_ arguments: [String], kilobytes: Int, on ranks: Ranks = .one) throws -> Outcome
  {
    try Workshop.shared().start(
      ["bash", "-c", "ulimit -v \(kilobytes); exec \"$@\"", "bash"] + ranks.words(arguments)
    ).wait()
  }

  @Test(arguments: Ranks.available)
  func `a run with few addresses computes the same`(ranks: Ranks) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("narrow")
    let outcome = try run(workshop.training(name), kilobytes: 4_000_000, on: ranks)
    #expect(outcome.status == 0, "\(outcome.errors)")
    guard ranks == .one else { return }
    #expect(
      try workshop.tensors("runs/\(name)/step-00000020") == workshop.tensors(Workshop.lastStep))
  }

  @Test func `too few addresses are refused with their number and the limit`() throws {
    let workshop = try Workshop.shared()
    // How many the program takes before it comes to its own depends on the machine.
    for kilobytes in stride(from: 1_600_000, to: 200_000, by: -100_000) {
      let name = workshop.fresh("narrow")
      let outcome = try run(
        workshop.training(name, ["training.steps=1"]), kilobytes: kilobytes)
      if outcome.status == 0 { continue }
      expectRefusal(
        outcome,
        says: ["268435456 bytes of addresses", "ulimit -v is \(kilobytes) kB", "accepted: "])
      return
    }
    Issue.record("no limit was refused")
  }

  @Test func `a model that needs more than half of the addresses is refused before it is made`()
    throws
  {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("narrow")
    expectRefusal(
      try run(
        workshop.training(name, ["model.router.expertWidth=200000"]), kilobytes: 3_000_000),
      status: 64, says: ["parameters", "half of ulimit -v allows 1.5 GB", "smaller model.width"])
  }
}
