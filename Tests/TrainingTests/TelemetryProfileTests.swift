// Timelines that other programs can read, and the table of what groups of ranks moved.

import Foundation
import Parallel
import Testing
import Training

@Suite struct TelemetryProfileTests {
  private static let traces = [
    RankTrace(
      speaker: "rank 0 of 2: data 0",
      events: [
        .init(name: "step", start: 5_000_000_123, end: 5_900_000_000, detail: .span(step: 3)),
        .init(
          name: "reduce", start: 5_100_000_000, end: 5_800_000_000, detail: .span(step: 3)),
        .init(
          name: "sum", start: 5_200_000_000, end: 5_700_000_000,
          detail: .collective(
            group: "expert \"data\"", call: 4, bytes: 1024, site: "A.swift:7", waited: 300_000_500)),
      ]),
    RankTrace(
      speaker: "rank 1 of 2: data 1",
      events: [
        .init(
          name: "sum", start: 5_500_000_500, end: 5_700_000_000,
          detail: .collective(
            group: "expert \"data\"", call: 4, bytes: 1024, site: "A.swift:7", waited: 0)),
        .init(
          name: "allGather", start: 5_710_000_000, end: 5_720_000_000,
          detail: .collective(
            group: "data", call: 5, bytes: 8, site: "A.swift:9", waited: nil)),
        .init(name: "Products.product", start: 5_730_000_000, end: 5_740_000_000, detail: .kernel),
      ]),
  ]

  private func events() throws -> [[String: Any]] {
    let json = try JSONSerialization.jsonObject(with: Data(ChromeTrace.json(Self.traces)))
    return try #require((json as? [String: Any])?["traceEvents"] as? [[String: Any]])
  }

  @Test func `a timeline is JSON with a lane for each rank`() throws {
    let events = try events()
    let names = events.filter { $0["name"] as? String == "process_name" }.map {
      ($0["args"] as? [String: String])?["name"]
    }
    #expect(names == ["rank 0 of 2: data 0", "rank 1 of 2: data 1"])
    let spans = events.filter { $0["ph"] as? String == "X" }
    #expect(
      spans.map { $0["name"] as? String } == [
        "step", "reduce", "sum · expert \"data\"", "waiting for the last to come",
        "sum · expert \"data\"", "end of allGather · data", "Products.product",
      ])
    #expect(spans.map { $0["pid"] as? Int } == [0, 0, 0, 0, 1, 1, 1])
    #expect(
      spans.map { $0["cat"] as? String } == [
        "phase", "phase", "collective", "waiting", "collective", "collective", "kernel",
      ])
    let sum = try #require(spans[2]["args"] as? [String: Any])
    #expect(sum["bytes"] as? Int == 1024 && sum["call"] as? Int == 4)
    #expect(sum["site"] as? String == "A.swift:7")
    #expect((spans[0]["args"] as? [String: Any])?["step"] as? Int == 3)
  }

  @Test func `events of a lane lie in each other, in order`() throws {
    let spans = try events().filter { $0["ph"] as? String == "X" && $0["pid"] as? Int == 0 }
    let times = spans.map { (($0["ts"] as? Double ?? -1), ($0["dur"] as? Double ?? -1)) }
    #expect(times[0] == (0, 899_999.877))
    #expect(times[3].1 == 300_000.5)
    for (outer, inner) in zip(times, times.dropFirst()) {
      #expect(outer.0 <= inner.0 && inner.0 + inner.1 <= outer.0 + outer.1)
    }
  }

  @Test func `no events make a timeline as well`() throws {
    let json = try JSONSerialization.jsonObject(with: Data(ChromeTrace.json([])))
    #expect(((json as? [String: Any])?["traceEvents"] as? [Any])?.isEmpty == true)
  }

  @Test func `the table shows an average step beside the least`() {
    var summary = RunSummary()
    #expect(summary.collectiveTable(width: 100).text.isEmpty)
    for step in 1...4 {
      var record = TelemetrySample.step(step, seconds: 0.5)
      record.collectives = [
        CollectiveUse("world", calls: 3, bytes: 2_000_000, seconds: 0.05, minimum: 1_600_000),
        CollectiveUse("expert-data", calls: 1, bytes: 400, seconds: 0.001),
      ]
      summary.add(record)
    }
    let rows = summary.collectiveTable(width: 100).text.split(separator: "\n").map { line in
      line.split(separator: " ").map(String.init)
    }
    #expect(rows[0].joined(separator: " ") == "collectives of a step on rank 0")
    #expect(
      rows[1] == ["group", "calls", "sent", "least", "sent/least", "in", "calls", "of", "step"])
    #expect(rows[2].first == "world" && rows[2][1] == "3")
    #expect(rows[2].contains("1.250") && rows[2].last == "10.0%")
    #expect(rows[3].first == "expert-data" && rows[3].last == "0.2%")
  }

  @Test func `a line of metrics holds the least, and the seconds among the times`() throws {
    var record = TelemetrySample.step(3)
    record.collectives = [
      CollectiveUse("world", calls: 3, bytes: 2_000_000, seconds: 0.05, minimum: 1_600_000)
    ]
    let line = try #require(
      JSONSerialization.jsonObject(with: Data(MetricsLine.text(record).utf8)) as? [String: Any])
    #expect(
      line["collectives"] as? [String: [String: Int]]
        == ["world": ["calls": 3, "bytes": 2_000_000, "minimum": 1_600_000]])
    let times = try #require(line["time"] as? [String: Any])
    #expect(times["collectives"] as? [String: Double] == ["world": 0.05])
  }

  @Test func `a meter tells a step's groups apart`() throws {
    let uses = try InProcessRanks.run(4) { world in
      let mesh = ProcessMesh(world, layout: try Layout("tensor=2", ranks: 4))
      var minimum = CommunicationMinimum()
      minimum.addGather(of: 8 * 4, over: world)
      var meter = CollectiveMeter(mesh, minimum: minimum)
      _ = world.sum([1.0])
      var steps: [[CollectiveUse]] = []
      for step in 1...2 {
        meter.start()
        for _ in 0..<step { _ = world.sum([1.0]) }
        _ = mesh.communicator(.tensor).sum([1.0, 2.0])
        steps.append(meter.uses())
      }
      return steps
    }
    for steps in uses {
      #expect(steps[0].map(\.name) == ["world", "tensor"])
      #expect(steps.map { $0[0].calls } == [1, 2])
      #expect(steps.map { $0[0].bytes } == [24, 48])
      #expect(steps.map { $0[1].bytes } == [16, 16])
      #expect(steps[0][0].minimum == 24 && steps[0][1].minimum == nil)
      #expect(steps[0][0].seconds > 0)
    }
  }
}
