// Charts: valid XML, ticks at round numbers, lines where the numbers are.

import Foundation
import Testing
import Training

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct TelemetryChartTests {
  private func run(_ name: String = "toy", steps: Int = 300) -> RunHistory {
    var run = RunHistory(name: name)
    for step in 1...steps { run.add(TelemetrySample.step(step, of: steps)) }
    for step in stride(from: steps / 10, through: steps, by: steps / 10) {
      run.add(TelemetrySample.evaluation(step, of: steps))
    }
    return run
  }

  /// What a tick's label says; NaN where it is none.
  private func number(_ label: String) -> Double {
    Double(label.replacing("k", with: "e3").replacing("M", with: "e6")) ?? .nan
  }

  @Test(
    arguments: [
      (0.0...300.0, 8, ["0", "50", "100", "150", "200", "250", "300"]),
      (0.0...10_000.0, 8, ["0", "2000", "4000", "6000", "8000", "10k"]),
      (3.12...8.31, 7, ["3", "4", "5", "6", "7", "8"]),
      (0.0...0.003, 3, ["0", "0.001", "0.002", "0.003"]),
      (0.0...0.0003, 3, ["0", "1e-4", "2e-4", "3e-4"]),
      (1.52...1.74, 4, ["1.55", "1.60", "1.65", "1.70", "1.75"]),
      (2.74...3.81, 4, ["2.75", "3.00", "3.25", "3.50", "3.75"]),
      (-1.0...1.0, 4, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
    ] as [(ClosedRange<Double>, Int, [String])])
  func `ticks stand at round numbers`(
    range: ClosedRange<Double>, count: Int, labels: [String]
  ) {
    let axis = ChartAxis(covering: range, scale: .linear, ticks: count, widens: true)
    #expect(axis.ticks.map(\.label) == labels)
    #expect(axis.place(axis.range.lowerBound) == 0)
    #expect(axis.place(axis.range.upperBound) == 1)
    for tick in axis.ticks {
      #expect(abs(number(tick.label) - tick.value) <= 1e-9 * max(1, abs(tick.value)))
    }
  }

  @Test(arguments: [1e-3...1e3, 0.4...3.5, 1.0...1.0, 0.9...1.3, 1e-12...5.0])
  func `logarithmic ticks lie inside and grow by factors`(range: ClosedRange<Double>) {
    let axis = ChartAxis(covering: range, scale: .logarithmic, ticks: 4, widens: true)
    #expect(axis.ticks.count >= 2, "\(axis.ticks)")
    #expect(axis.ticks.count <= 9, "\(axis.ticks)")
    for tick in axis.ticks {
      #expect(axis.place(tick.value) > -0.01 && axis.place(tick.value) < 1.01)
      #expect(abs(number(tick.label) / tick.value - 1) < 1e-9, "\(tick)")
    }
    #expect(axis.place(range.lowerBound) >= -0.01 && axis.place(range.upperBound) <= 1.01)
  }

  @Test(arguments: [0.0...0.0, 5.0...5.0, -3.0...(-3.0), 1e-300...1e-300])
  func `a range without width gets one`(range: ClosedRange<Double>) {
    let axis = ChartAxis(covering: range, scale: .linear, ticks: 4, widens: true)
    #expect(axis.range.upperBound > axis.range.lowerBound)
    #expect(axis.ticks.count >= 2)
    let place = axis.place(range.lowerBound)
    #expect(place > 0 && place < 1)
  }

  @Test func `the file is XML, whatever the names are`() throws {
    let first = run("a <b> & \"c\"\u{7}")
    let chart = Chart(runs: [first, run("second")], title: "1 < 2 & 3 > 2", subtitle: "é ▄")
    let parser = XMLParser(data: Data(chart.svg.utf8))
    #expect(parser.parse(), "\(String(describing: parser.parserError))")
    #expect(chart.svg.contains("1 &lt; 2 &amp; 3 &gt; 2"))
  }

  @Test func `points lie where their numbers are`() throws {
    let series = ChartSeries(
      "line", colour: 0, stroke: .solid, points: [.init(0, 0), .init(50, 10), .init(100, 5)])
    let chart = Chart(
      title: "t", legend: [], panel: ChartPanel("p", range: 0...10, series: [series]))
    // Frame: 28 + 46 from the left, 960 − 74 − 28 − 54 wide; 340 high, wherever it starts.
    let path = try #require(
      chart.svg.firstMatch(of: /class="line solid c0" d="M74 ([0-9.]+)(L[^"]*)"/))
    let bottom = try #require(Double(path.1))
    #expect(String(path.2) == "L476 \(Int(bottom) - 340)L878 \(Int(bottom) - 170)")
  }

  @Test func `a value that is not finite breaks the line`() throws {
    let points = [1, 2, .nan, 4, 5].enumerated().map { ChartPoint(Double($0), $1) }
    let series = ChartSeries("line", colour: 0, stroke: .solid, points: points)
    let svg = Chart(title: "t", legend: [], panel: ChartPanel("p", series: [series])).svg
    let path = try #require(svg.firstMatch(of: /class="line solid c0" d="([^"]*)"/)).1
    #expect(path.filter { $0 == "M" }.count == 2)
    #expect(path.filter { $0 == "L" }.count == 2)
    #expect(!svg.contains("NaN"))
  }

  @Test func `empty runs draw empty axes`() {
    let chart = Chart(runs: [RunHistory(name: "none")], title: "nothing yet")
    #expect(XMLParser(data: Data(chart.svg.utf8)).parse())
    #expect(!chart.svg.contains("class=\"line solid c0\" d=\"M74"))
  }

  @Test func `long runs stay small files that keep their extremes`() throws {
    var long = RunHistory(name: "long")
    for step in 1...50_000 {
      var record = TelemetrySample.step(step, of: 50_000)
      if step == 25_001 { record.losses.perToken = 8.9 }
      long.add(record)
    }
    var chart = Chart(runs: [long], title: "long")
    chart.panel.range = 2...9
    #expect(chart.svg.utf8.count < 300_000, "\(chart.svg.utf8.count)")
    let faint = try #require(
      chart.svg.firstMatch(of: /class="line faint c0" d="(M[0-9.]+ [0-9.]+L[^"]*)"/)
    ).1
    let heights = faint.matches(of: /[ML][0-9.]+ ([0-9.]+)/).compactMap { Double($0.1) }
    let axis = try #require(
      chart.svg.firstMatch(of: /class="axis" d="M74 ([0-9.]+)h/)
    ).1
    // 8.9 of 2 … 9, on 340 units.
    let expected = Double(axis)! - (8.9 - 2) / 7 * 340
    #expect(abs(heights.min()! - expected) < 0.02, "\(heights.min()!), \(expected), \(axis)")
  }

  @Test func `means are exact on straight lines and keep a steep start`() {
    let straight = (0..<500).map { ChartPoint(Double($0), 2 * Double($0)) }
    let smooth = Smoothing.mean(straight)
    for index in 0..<480 { #expect(abs(smooth[index].y - straight[index].y) < 1e-9) }
    #expect(smooth[0] == straight[0])
    #expect(smooth.count == 500)
  }

  @Test func `a history read from the metrics is the one that was lived`() throws {
    let folder = try TelemetryFolder()
    let path = "\(folder.path)/metrics.jsonl"
    let log = try MetricsLog(creating: path)
    var lived = RunHistory(name: "toy")
    for step in 1...40 {
      let record = TelemetrySample.step(step)
      try log.append(record)
      lived.add(record)
      if step % 10 == 0 {
        try log.append(TelemetrySample.router(step))
        try log.append(TelemetrySample.evaluation(step))
        lived.add(TelemetrySample.evaluation(step))
      }
    }
    #expect(try RunHistory(name: "toy", metrics: path) == lived)
    try folder.write("{\"kind\":\"step\"}\n", to: "bad.jsonl")
    #expect(throws: FileError.self) {
      try RunHistory(name: "bad", metrics: "\(folder.path)/bad.jsonl")
    }
  }
}
