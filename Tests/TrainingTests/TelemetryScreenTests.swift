// The screen as text: columns under their titles, widths kept, warnings with a cause.

import Foundation
import Testing
import Training

@Suite struct TelemetryScreenTests {
  private func lines(every: Int = 1, width: Int = 100) -> ScreenStyle {
    ScreenStyle(flow: .lines(every: every), width: width, glyphs: .unicode)
  }

  private func live(every: Int = 1000, width: Int = 100) -> ScreenStyle {
    ScreenStyle(flow: .live(interval: 0.1, keptEvery: every), width: width, glyphs: .unicode)
  }

  @Test func `figures stand right under their titles`() throws {
    var display = ProgressDisplay(totalSteps: 300, style: lines())
    let shown = display.step(TelemetrySample.step(1), elapsed: 0.25)
    let rows = shown.split(separator: "\n").map(String.init)
    #expect(rows.count == 2)
    #expect(rows[0].count == rows[1].count)
    for title in ["step", "loss", "bits/char", "lr", "grad norm", "tokens/s", "peak", "left"] {
      let end = try #require(rows[0].range(of: title)).upperBound
      let place = rows[0].distance(from: rows[0].startIndex, to: end)
      let below = Array(rows[1])
      #expect(below[place - 1] != " ", "\(title)")
      #expect(place == below.count || below[place] == " ", "\(title)")
    }
    let cells = rows[1].split(separator: " ").map(String.init)
    let record = TelemetrySample.step(1)
    #expect(
      cells == [
        "1/300", String(format: "%.4f", record.losses.perToken),
        String(format: "%.3f", record.losses.bitsPerCharacter!),
        String(format: "%.2e", record.learningRate), String(format: "%.3f", record.gradientNorm),
        "16.4k", "71.4%", "0:00", "1:15",
      ])
  }

  @Test(arguments: [20, 40, 60, 79, 80, 100, 200])
  func `lines keep to the width, and the most needed columns stay`(width: Int) {
    for style in [lines(width: width), live(every: 1, width: width)] {
      var display = ProgressDisplay(totalSteps: 100_000, style: style)
      var record = TelemetrySample.step(99_999, of: 100_000)
      record.losses.perToken = 123456.789
      record.gradientNorm = 1e12
      let shown = display.step(record, elapsed: 400_000)
      for line in shown.split(whereSeparator: \.isNewline) {
        let visible = line.replacing("\u{1B}[K", with: "")
        // 13 of the step, two spaces and 7 of the loss never go.
        #expect(visible.count <= max(width, 22), "\(visible)")
      }
      #expect(shown.contains("99999/100000"))
    }
  }

  @Test func `a log gets every n-th step, the first and the last`() {
    var display = ProgressDisplay(totalSteps: 25, style: lines(every: 10))
    let shown = (1...25).map {
      display.step(TelemetrySample.step($0, of: 25), elapsed: Double($0))
    }
    #expect(shown.indices.filter { !shown[$0].isEmpty }.map { $0 + 1 } == [1, 10, 20, 25])
    #expect(shown.joined().filter(\.isNewline).count == 5)
    #expect(!shown.joined().contains("\r"))
  }

  @Test func `titles come again after forty lines and after a table`() {
    var display = ProgressDisplay(totalSteps: 100, style: lines())
    var shown = (1...41).map {
      display.step(TelemetrySample.step($0, of: 100), elapsed: Double($0))
    }
    #expect(shown.indices.filter { shown[$0].contains("grad norm") } == [0, 40])
    _ = display.router(TelemetrySample.router(41))
    shown = [display.step(TelemetrySample.step(42, of: 100), elapsed: 42)]
    #expect(shown[0].contains("grad norm"))
  }

  @Test func `the live line changes in place, at most ten times a second`() {
    var display = ProgressDisplay(totalSteps: 1000, style: live())
    var shown: [String] = []
    for step in 1...100 {
      shown.append(
        display.step(
          TelemetrySample.step(step, of: 1000, seconds: 0.01), elapsed: Double(step) * 0.01))
    }
    let drawn = shown.filter { !$0.isEmpty }
    #expect((9...11).contains(drawn.count), "\(drawn.count)")
    #expect(drawn[0].contains("\n") && !drawn[0].hasSuffix("\n"))
    for line in drawn.dropFirst() {
      #expect(line.hasPrefix("\r\u{1B}[K"))
      #expect(!line.contains("\n"))
    }
  }

  @Test func `other text takes the live line away and puts it back`() {
    var display = ProgressDisplay(totalSteps: 1000, style: live())
    let first = display.step(TelemetrySample.step(1, of: 1000), elapsed: 1)
    let liveLine = String(first.split(separator: "\n").last!)
    #expect(display.note("saved") == "\r\u{1B}[Ksaved\n" + liveLine)
    #expect(display.close() == "\n")
    #expect(display.close() == "")
    #expect(display.note("done") == "done\n")
  }

  @Test func `text of a model cannot command the terminal`() {
    var display = ProgressDisplay(totalSteps: 10, style: lines())
    #expect(
      display.note("a\u{1B}[2Jb\r\u{9B}c\td\u{7F}\ne é") == "a?[2Jb??c\td?\ne é\n")
  }

  @Test func `live lines stay on the screen every n steps and at the end`() {
    var display = ProgressDisplay(totalSteps: 20, style: live(every: 10))
    let shown = (1...20).map {
      display.step(TelemetrySample.step($0, of: 20), elapsed: Double($0))
    }
    #expect(shown.indices.filter { shown[$0].hasSuffix("\n") }.map { $0 + 1 } == [10, 20])
    #expect(display.close() == "")
  }

  @Test func `an evaluation names the best one when it is not it`() {
    var display = ProgressDisplay(totalSteps: 100, style: lines())
    let first = EvaluationRecord(
      step: 50, loss: 3.25, bitsPerCharacter: 1.6, tokens: 10, seconds: 1.5)
    let second = EvaluationRecord(
      step: 100, loss: 3.5, bitsPerCharacter: nil, tokens: 10, seconds: 0.02)
    #expect(
      display.evaluation(first)
        == "held-out at step 50: loss 3.2500, bits/char 1.600, took 1.50 s\n")
    #expect(
      display.evaluation(second)
        == "held-out at step 100: loss 3.5000 (best 3.2500 at step 50), took 20.0 ms\n")
  }

  @Test func `the router's table shows each expert's load beside the mean`() {
    let record = RouterRecord(
      step: 20,
      layers: [
        TelemetrySample.layer(0, counts: [100, 100, 100, 100]),
        TelemetrySample.layer(3, counts: [400, 0, 0, 0], balance: 4, z: 123.4567),
        TelemetrySample.layer(12, counts: [50, 150, 75, 125]),
      ])
    let text = RouterTable(record, style: lines()).text
    #expect(
      text == """
        router at step 20  (load of each expert: ▄ mean, █ twice or more, · none)
        layer  load  max/mean  entropy  dead  balance        z
            0  ▄▄▄▄      1.00   100.0%     0    1.040    4.400
            3  █···      4.00     0.0%     3    4.000  123.457
           12  ▂▆▃▅      1.50    94.1%     0    1.040    4.400
        """)
  }

  @Test func `without UTF-8 everything is ASCII`() {
    let style = ScreenStyle(flow: .lines(every: 1), width: 80, glyphs: .ascii)
    var display = ProgressDisplay(totalSteps: 100, style: style)
    let record = RouterRecord(
      step: 1, layers: [TelemetrySample.layer(0, counts: [800, 0, 100, 100])])
    let shown =
      display.router(record) + display.step(TelemetrySample.step(1, of: 100), elapsed: 1)
    let isASCII = shown.unicodeScalars.allSatisfy(\.isASCII)
    #expect(isASCII, "\(shown)")
    #expect(shown.contains("@.--"))
  }

  @Test(arguments: [(64, 80), (128, 80), (8, 50), (256, 100), (64, 30)])
  func `many experts go on in the next line`(experts: Int, width: Int) {
    let counts = (0..<experts).map { 100 + $0 % 7 }
    let record = RouterRecord(step: 1, layers: [TelemetrySample.layer(2, counts: counts)])
    let text = RouterTable(record, style: lines(width: width)).text
    let rows = text.split(separator: "\n")
    for row in rows { #expect(row.count <= max(width, 34), "\(row)") }
    let bars = rows.dropFirst(2).joined().filter { "▁▂▃▄▅▆▇█".contains($0) }
    #expect(bars.count == experts)
  }

  @Test func `a column for drops shows when there are any`() {
    var layer = TelemetrySample.layer(0, counts: [10, 20])
    #expect(
      !RouterTable(RouterRecord(step: 1, layers: [layer]), style: lines()).text.contains("drop"))
    layer.dropped = 12_345
    let text = RouterTable(RouterRecord(step: 1, layers: [layer]), style: lines()).text
    #expect(text.contains("dropped"))
    #expect(text.hasSuffix("12.3k"))
  }

  @Test func `load figures are those of their definitions`() {
    let layer = TelemetrySample.layer(counts: [4, 2, 2, 0])
    #expect(layer.maxOverMean == 2)
    #expect(layer.dead == [3])
    // ½ ln 2 + 2 · ¼ ln 4 = 1.5 ln 2, of ln 4 = 2 ln 2.
    #expect(abs(layer.loadEntropyShare - 0.75) < 1e-15)
    #expect(TelemetrySample.layer(counts: [7]).loadEntropyShare == 1)
    #expect(TelemetrySample.layer(counts: [0, 0]).maxOverMean == 1)
  }

  @Test(
    arguments: [
      (TelemetrySample.layer(counts: [900, 1100, 1000, 1000]), []),
      (TelemetrySample.layer(counts: [1300, 1300, 1400, 0]), [.deadExperts]),
      // Few tokens: an expert without any may be chance.
      (TelemetrySample.layer(counts: [13, 13, 14, 0]), []),
      (
        TelemetrySample.layer(counts: [4000, 4000, 10, 10, 10, 10, 10, 10]),
        [.collapse]
      ),
      (TelemetrySample.layer(counts: [1000, 1000, 1000, 1000], z: 130), [.logitGrowth]),
      (TelemetrySample.layer(counts: [1000, 1000, 1000, 1000], z: 125), []),
      (
        TelemetrySample.layer(counts: [8000, 0, 0, 0, 0, 0, 0, 0], perToken: 1),
        [.deadExperts, .collapse]
      ),
      // All experts of all tokens: nothing to collapse.
      (TelemetrySample.layer(counts: [1000, 1000], perToken: 2), []),
    ] as [(LayerRouting, [RouterWarning.Cause])])
  func `each fault is named`(layer: LayerRouting, causes: [RouterWarning.Cause]) {
    #expect(RouterWatch.faults(layer).map(\.cause) == causes)
  }

  @Test func `a fault is told when it appears, not at every look`() {
    var watch = RouterWatch()
    let good = RouterRecord(step: 1, layers: [TelemetrySample.layer(counts: [1000, 1000])])
    let bad = RouterRecord(
      step: 2, layers: [TelemetrySample.layer(counts: [2000, 0], perToken: 1)])
    #expect(watch.warnings(good).isEmpty)
    #expect(watch.warnings(bad).count == 2)
    #expect(watch.warnings(bad).isEmpty)
    #expect(watch.warnings(good).isEmpty)
    #expect(watch.warnings(bad).count == 2)
  }

  @Test func `a warning is one line with layer, cause and figure`() {
    let faults = RouterWatch.faults(TelemetrySample.layer(3, counts: [1300, 1300, 1400, 0]))
    #expect(
      faults[0].line(.unicode, width: 100)
        == "⚠ dead expert in layer 3: no token of 2000 chose expert 3")
    #expect(faults[0].line(.ascii, width: 30).count == 30)
    #expect(faults[0].line(.unicode, width: 30).hasSuffix("…"))
  }

  @Test func `the summary adds a run up`() {
    var summary = RunSummary()
    for step in 1...300 { summary.add(TelemetrySample.step(step)) }
    summary.add(TelemetrySample.evaluation(150))
    summary.add(TelemetrySample.evaluation(300))
    let text = summary.text(
      elapsed: 90, files: [("curve", "runs/toy/curve.svg"), ("checkpoint", "checkpoints/toy")])
    let rows = text.split(separator: "\n").map(String.init)
    #expect(rows[0] == "done           step 300 of 300, 1.23M tokens in 1:30")
    #expect(rows[1].hasPrefix("training loss  3.1"))
    #expect(rows[1].hasSuffix("(mean of the last 50)"))
    #expect(rows[2].hasPrefix("held-out       loss 3.2206, bits/char 1.578 at step 300"))
    #expect(rows[3] == "speed          16.4k tokens/s, 71.4% of product peak")
    // 75 s of steps in 90 s.
    #expect(
      rows[4] == "time           data 1%, forward 25%, backward 46%, reduce 5%, "
        + "update 4%, other 3%, between steps 17%")
    #expect(rows[5] == "moved a step   exchange 8.40 MB, all_gather 8.40 MB")
    #expect(rows[6] == "curve          runs/toy/curve.svg")
    #expect(rows.count == 8)
  }

  @Test(
    arguments: [
      (["LANG": "en_US.UTF-8"], true), (["LANG": "C"], false), ([:], false),
      (["LC_ALL": "C", "LANG": "de_DE.utf8"], false),
      (["LC_ALL": "", "LC_CTYPE": "C.UTF-8"], true),
    ] as [([String: String], Bool)])
  func `the locale decides about block characters`(environment: [String: String], isUTF8: Bool) {
    let style = ScreenStyle(descriptor: -1, everySteps: 10, environment: environment)
    #expect(style.glyphs == (isUTF8 ? .unicode : .ascii))
    #expect(style.flow == .lines(every: 10))
  }
}
