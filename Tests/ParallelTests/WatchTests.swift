// Heartbeats, the report on a stalled run, clocks and timelines; whole jobs are in CommandTests.

import Foundation
import Kernels
import Parallel
import Testing

@Suite struct WatchTests {
  private static func folder() -> String {
    "\(NSTemporaryDirectory())apus-watch-\(UUID().uuidString)"
  }

  @Test(.enabled(if: launchedWorld == nil))
  func `a watched run leaves nothing behind, and each rank's last words are there meanwhile`()
    throws
  {
    let folder = Self.folder()
    try Watchdog.prepare(folder: folder)
    let line = #line
    let readings = try InProcessRanks.run(3) { world in
      let watchdog = try Watchdog(over: world, folder: folder, seconds: 100)
      // Coordinates that come later are told as well.
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: 3))
      world.begin(step: 7)
      _ = mesh.communicator(.data).sum([1.0, 2.0])
      world.barrier()
      let reading = HeartbeatReading(path: "\(folder)/rank-000\(world.rank)")
      withExtendedLifetime(watchdog) {}
      return reading
    }
    for (rank, reading) in try readings.map({ try #require($0) }).enumerated() {
      #expect(reading.speaker == "rank \(rank) of 3: data \(rank); expert-data \(rank)")
      #expect(reading.step == 7)
      #expect(reading.process == Int(getpid()))
      #expect(reading.processState == .running)
      let call = try #require(reading.call)
      #expect(call.group == "world" && call.collective == .barrier)
      #expect(call.site == "ParallelTests/WatchTests.swift:\(line + 7)")
      #expect(reading.pulse >= 5)
    }
    #expect(!FileManager.default.fileExists(atPath: folder))
  }

  @Test func `what an earlier run left is taken away`() throws {
    let folder = Self.folder()
    try Watchdog.prepare(folder: folder)
    try Data("old".utf8).write(to: URL(filePath: "\(folder)/report"))
    try Watchdog.prepare(folder: folder)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    try FileManager.default.removeItem(atPath: folder)
  }

  @Test func `a folder that cannot be written is an error with its path`() {
    let error = #expect(throws: HeartbeatError.self) {
      _ = try Watchdog(over: .alone(), folder: "/nowhere/at/all", seconds: 1)
    }
    #expect(
      error?.description
        == "/nowhere/at/all/rank-0000: cannot make the heartbeat file: No such file or directory; "
        + "accepted: a folder that all hosts share")
    let other = #expect(throws: HeartbeatError.self) {
      _ = try Watchdog(over: .alone(), folder: "/dev/null", seconds: 1)
    }
    #expect(
      other?.description
        == "/dev/null/rank-0000: cannot make the heartbeat file: Not a directory")
  }

  @Test func `processes are told apart by what they are at`() throws {
    #expect(ProcessState(process: Int(getpid())) == .running)
    let child = Process()
    child.executableURL = URL(filePath: "/bin/sleep")
    child.arguments = ["100"]
    try child.run()
    defer { child.waitUntilExit() }
    let id = child.processIdentifier
    kill(id, SIGSTOP)
    for _ in 0..<1000 where ProcessState(process: Int(id)) != .stopped { usleep(1000) }
    #expect(ProcessState(process: Int(id)) == .stopped)
    kill(id, SIGKILL)
    for _ in 0..<1000 where ProcessState(process: Int(id)) != .gone { usleep(1000) }
    #expect(ProcessState(process: Int(id)) == .gone)
  }

  // MARK: - Reports

  private static func reading(
    _ rank: Int, inside: Bool = true, _ collective: Collective = .sum, call: Int = 5,
    line: Int = 20
  ) -> HeartbeatReading {
    HeartbeatReading(
      process: 4000 + rank, host: "node", speaker: "rank \(rank) of 4: data \(rank)", step: 12,
      isInside: inside,
      call: .init(
        collective: collective, group: "data", sequence: call, bytes: 64, site: "A.swift:\(line)"))
  }

  private static func report(
    _ readings: [HeartbeatReading?], _ states: [ProcessState?]? = nil
  ) -> [String] {
    StallReport(
      readings: readings, states: states ?? readings.map { _ in .running }, seconds: 9
    ).text.split(separator: "\n").map(String.init)
  }

  @Test func `the rank that holds the others up is named`() {
    let all = (0..<4).map { Self.reading($0) }
    let stopped = Self.report(all, [.running, .running, .stopped, .running])
    #expect(
      stopped[0]
        == "apus: rank 2 of 4 is stopped; no rank has gone on for 9 s; what each did last:")
    #expect(
      stopped[3]
        == "apus:   rank 2 of 4: data 2: step 12, waits in sum (call 5 of 'data', 64 bytes, "
        + "A.swift:20); stopped, process 4002 on node")
    #expect(stopped.count == 5)
    #expect(
      Self.report(all, [.running, nil, .gone, .stopped])[0]
        .hasPrefix("apus: rank 3 of 4 is stopped, rank 2 of 4 is gone; "))
    let away = [all[0], Self.reading(1, inside: false), all[2], Self.reading(3, inside: false)]
    #expect(
      Self.report(away)[0]
        .hasPrefix("apus: ranks 1, 3 of 4 are in no collective, while the others wait; "))
    #expect(
      Self.report([all[0], nil, all[2], all[3]])[0]
        .hasPrefix("apus: rank 1 of 4 is without a heartbeat file; "))
    let skipped = [all[0], all[1], all[2], Self.reading(3, .maximum, line: 21)]
    #expect(
      Self.report(skipped)[0].hasPrefix(
        "apus: rank 3 of 4 waits in maximum (call 5 of 'data', 64 bytes, A.swift:21), while "
          + "ranks 0, 1, 2 wait in sum (call 5 of 'data', 64 bytes, A.swift:20); "))
    #expect(Self.report(all)[0].hasPrefix("apus: all ranks wait; "))
  }

  // MARK: - Timelines

  @Test func `barriers bound how far a clock is ahead`() {
    // A clock ahead by 5000: what it reads is the truth plus that.
    var bounds = ClockBounds()
    bounds.narrow(own: .init(came: 5100, left: 5200), zero: .init(came: 90, left: 190))
    bounds.narrow(own: .init(came: 5390, left: 5450), zero: .init(came: 300, left: 420))
    #expect(bounds.low == 5390 - 420 && bounds.high == 5200 - 90)
    #expect(abs(bounds.offset - 5000) <= (bounds.high - bounds.low) / 2 + 40)
    #expect(bounds.low <= 5000 && 5000 <= bounds.high)
    // Clocks that may be one and the same are taken to be.
    var same = ClockBounds()
    same.narrow(own: .init(came: 100, left: 200), zero: .init(came: 150, left: 160))
    #expect(same.offset == 0)
  }

  @Test func `a timeline holds every rank's phases and collectives, and who waited`() throws {
    try onRanks([1, 2, 3]) { world, checks in
      world.startTrace()
      world.begin(step: 3)
      let last = world.size - 1
      let start = Trace.now()
      for _ in 0..<4 {
        if world.rank == last { usleep(2_000) }
        _ = world.sum(1.0)
      }
      world.trace?.record("phase", since: start)
      let traces = world.gatherTraces()
      checks.expect(world.trace == nil, "still recording")
      guard world.rank == 0 else { return checks.equal(traces.count, 0, "traces") }
      checks.equal(traces.count, world.size, "lanes")
      for (rank, trace) in traces.enumerated() {
        let sums = trace.events.filter { $0.name == "sum" }
        checks.equal(sums.count, world.size == 1 ? 0 : 4, "sums on rank \(rank)")
        guard let phase = trace.events.first(where: { $0.name == "phase" }) else {
          checks.expect(false, "no phase")
          continue
        }
        checks.equal(phase.detail, .span(step: 3), "phase")
        checks.equal(trace.events.first, phase, "the longest comes first")
        checks.expect(
          sums.allSatisfy { phase.start <= $0.start && $0.end <= phase.end }, "not in the phase")
        checks.expect(
          zip(sums, sums.dropFirst()).allSatisfy { $0.end <= $1.start }, "not in order")
        for sum in sums {
          guard case .collective(let group, _, let bytes, let site, let waited) = sum.detail else {
            checks.expect(false, "a sum is a collective")
            continue
          }
          checks.equal(group, "world", "group")
          checks.equal(bytes, 8 * (world.size - 1), "bytes")
          checks.expect(site.hasPrefix("ParallelTests/WatchTests.swift:"), site)
          checks.expect(
            (0...sum.end - sum.start).contains(waited ?? -1), "waited \(waited ?? -1) ns")
        }
      }
      // Whoever comes last, which is the machine's to say, waits for nobody.
      for place in 0..<(world.size == 1 ? 0 : 4) {
        let waits = traces.map { trace in
          let sum = trace.events.filter { $0.name == "sum" }[place]
          guard case .collective(_, _, _, _, let waited?) = sum.detail else { return sum.end }
          return waited
        }
        checks.equal(waits.min(), 0, "the least wait for sum \(place)")
      }
    }
  }

  @Test func `the end of a collective that was begun before claims no wait, and kernels are named`()
    throws
  {
    try onRanks([2, 3]) { world, checks in
      world.startTrace()
      let team = ThreadTeam(size: 1)
      team.watch = world.trace.map { trace in { trace.record($0, $1) } }
      // Enough for the team to be asked.
      let whole = OwnedArray(rows: world.size, columns: 1 << 17, precision: .float32)
      let own = OwnedArray(columns: 1 << 17, precision: .float32)
      defer { withExtendedLifetime((whole, own)) {} }
      let counts = [Int](repeating: 1, count: world.size)
      let scatter = world.startReduceScatter(
        whole.matrix, counts: counts, into: own.matrix, team: team)
      if world.rank == 0 { usleep(2_000) }
      scatter.wait()
      world.startAllGather(own.matrix, into: whole.matrix, counts: counts).wait()
      let traces = world.gatherTraces()
      guard world.rank == 0 else { return checks.equal(traces.count, 0, "traces") }
      for trace in traces {
        let waits = trace.events.compactMap { event -> String? in
          guard case .collective(_, _, _, _, let waited) = event.detail else { return nil }
          return "\(event.name) \(waited.map(String.init) ?? "unknown")"
        }
        checks.equal(waits, ["reduceScatter unknown", "allGather unknown"], "waits")
        let kernels = trace.events.filter { $0.detail == .kernel }.map(\.name)
        checks.equal(kernels, ["RankOrderSum.sumInOrder"], "kernels")
      }
    }
  }

  @Test func `the least bytes of gradient sums are those that are sent`() throws {
    try onRanks { world, checks in
      let mesh = ProcessMesh(world, layout: try Layout("", ranks: world.size))
      var minimum = CommunicationMinimum()
      minimum.addSum(of: 240_000 * 4, over: world)
      let array = OwnedArray(columns: 240_000, precision: .float32)
      let before = world.accounting
      world.sum(array.matrix)
      checks.equal(
        Double((world.accounting - before).total.bytes), minimum["world"], "bytes of a sum")
      minimum.addGather(of: 240_000 * 4, over: world)
      minimum.addExchange(of: 240_000 * 4, over: world)
      checks.equal(
        minimum["world"], 4 * Double(world.size - 1) / Double(world.size) * 960_000, "all three")
      checks.equal(mesh.communicators.first?.name, "world", "the world comes first")
      checks.equal(minimum["nobody"], nil, "an unknown group")
    }
  }
}
