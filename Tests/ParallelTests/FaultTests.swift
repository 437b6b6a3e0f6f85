// What happens when ranks differ, fail, or do not meet: named, and over in bounded time.

import Foundation
import Parallel
import Testing

@Suite struct FaultTests {
  struct Broken: Error, CustomStringConvertible { var description: String { "it is broken" } }

  @Test func `equal fields pass the handshake`() throws {
    try onRanks { world, checks in
      let before = world.accounting
      try Handshake.check([("seed", "1"), ("corpus", "abc")], over: world)
      // Where there are others they have been told, or nothing was compared.
      let sent = (world.accounting - before).total.bytes
      checks.expect((sent > 0) == (world.size > 1), "\(sent) bytes on \(world.size) ranks")
    }
  }

  @Test func `a field that differs is named with ranks and values`() throws {
    try onRanks([2, 3, 4, 8]) { world, checks in
      let odd = world.size - 1
      var found: HandshakeError?
      do {
        try Handshake.check(
          [("configuration", "a"), ("corpus", world.rank == odd ? "kjv" : "shakespeare")],
          over: world)
      } catch let error as HandshakeError { found = error }
      let others = (0..<odd).map(String.init).joined(separator: ", ")
      checks.equal(
        found?.description,
        "corpus must be equal on all ranks: rank\(odd == 1 ? "" : "s") \(others): 'shakespeare'; "
          + "rank \(odd): 'kjv'", "message")
    }
  }

  @Test func `of a long text only the lines that differ are shown`() throws {
    try onRanks([2, 3]) { world, checks in
      var found: HandshakeError?
      do {
        let text = "width = 4\nseed = \(world.rank == 1 ? 7 : 1)\nlayers = 2"
        try Handshake.check([("configuration", text)], over: world)
      } catch let error as HandshakeError { found = error }
      let others = world.size == 2 ? "rank 0" : "ranks 0, 2"
      checks.equal(
        found?.description,
        "configuration must be equal on all ranks: \(others): 'seed = 1'; rank 1: 'seed = 7'",
        "message")
    }
  }

  @Test func `a field that one rank lacks is named`() throws {
    try onRanks([2]) { world, checks in
      var found: HandshakeError?
      do {
        try Handshake.check(world.rank == 0 ? [("seed", "1")] : [], over: world)
      } catch let error as HandshakeError { found = error }
      checks.equal(
        found?.description, "seed must be equal on all ranks: rank 0: '1'; rank 1: missing",
        "message")
    }
  }

  @Test(.enabled(if: launchedWorld == nil), arguments: [2, 3, 8])
  func `one rank's error ends all ranks and is the one that is thrown`(ranks: Int) {
    let start = ContinuousClock.now
    let error = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(ranks) { world in
        let mesh = ProcessMesh(world, layout: try Layout("", ranks: ranks))
        for step in 0..<1000 {
          if step == 7 && world.rank == 1 { throw Broken() }
          _ = mesh.communicator(.data).sum([1.0])
        }
      }
    }
    #expect(error?.error is Broken)
    #expect(
      error?.description
        == "rank 1 of \(ranks): data 1; expert-data 1: it is broken")
    #expect(ContinuousClock.now - start < .seconds(5))
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `a rank that leaves others waiting ends the run`() {
    let error = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(3) { world in if world.rank != 2 { world.barrier() } }
    }
    #expect(error?.description.contains("no rank can go on") == true)
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `ranks that meet different collectives are told apart`() {
    let error = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(2) { world in
        if world.rank == 0 { world.barrier() } else { _ = world.sum(1) }
      }
    }
    #expect(error?.description.contains("mismatched collectives") == true)
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `ranks that disagree about counts are told apart`() {
    let error = #expect(throws: RankError.self) {
      _ = try InProcessRanks.run(2) { world in
        _ = world.sum([Double](repeating: 1, count: 1 + world.rank))
      }
    }
    #expect(
      error?.description.contains("gathers [8, 8] bytes, not [16, 16]") == true
        || error?.description.contains("gathers [16, 16] bytes, not [8, 8]") == true)
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `results come back in rank order`() throws {
    #expect(try InProcessRanks.run(5) { $0.rank * 10 } == [0, 10, 20, 30, 40])
  }
}
