// The chart of a training run, or of several over each other.

extension Chart {
  /// The curves of one run in full, or of several over each other.
  ///
  /// `bands` say where the loss should lie: the spread of other runs.
  public init(
    runs: [RunHistory], title: String, subtitle: String = "", bands: [ChartBand] = []
  ) {
    if let run = runs.first, runs.count == 1, bands.isEmpty {
      self.init(run: run, title: title, subtitle: subtitle)
    } else {
      self.init(comparing: runs, title: title, subtitle: subtitle, bands: bands)
    }
  }

  /// One run: the loss of each step, its running mean and the held-out loss; below, bits per
  /// character, learning rate and gradient norm.
  private init(run: RunHistory, title: String, subtitle: String) {
    func lines(_ each: [ChartPoint], heldOut: [ChartPoint] = []) -> [ChartSeries] {
      [
        ChartSeries("training", colour: 0, stroke: .faint, points: each),
        ChartSeries("training", colour: 0, stroke: .solid, points: Smoothing.mean(each)),
        ChartSeries("held-out", colour: 1, stroke: .marked, points: heldOut),
      ].filter { !$0.points.isEmpty }
    }
    let loss = lines(run.loss, heldOut: run.heldOutLoss)
    let bits = lines(run.bitsPerCharacter, heldOut: run.heldOutBitsPerCharacter)
    let rate = ChartSeries("learning rate", colour: 0, stroke: .solid, points: run.learningRate)
    let keys = [
      Key("training, each step", colour: 0, sample: .line(.faint)),
      Key("training, smoothed", colour: 0, sample: .line(.solid)),
      Key("held-out", colour: 1, sample: .line(.marked)),
    ]
    let panels = [
      ChartPanel("Bits per character", range: Chart.focus(bits), series: bits),
      ChartPanel("Learning rate", series: [rate].filter { !$0.points.isEmpty }),
      ChartPanel("Gradient norm", scale: .logarithmic, series: lines(run.gradientNorm)),
    ]
    self.init(
      title: title, subtitle: subtitle,
      legend: run.heldOutLoss.isEmpty ? Array(keys.prefix(2)) : keys,
      panel: ChartPanel("Loss per token (nats)", range: Chart.focus(loss), series: loss),
      smallPanels: panels.filter { !$0.series.isEmpty })
  }

  /// Several runs over each other, a colour each: the running mean of the loss, over the bands
  /// where it should lie; below, what the held-out text says, and the gradient norm.
  private init(
    comparing runs: [RunHistory], title: String, subtitle: String, bands: [ChartBand]
  ) {
    func lines(
      _ stroke: ChartSeries.Stroke, _ points: (RunHistory) -> [ChartPoint]
    ) -> [ChartSeries] {
      runs.enumerated().map { index, run in
        ChartSeries(run.name, colour: index, stroke: stroke, points: points(run))
      }.filter { !$0.points.isEmpty }
    }
    let loss = lines(.solid) { Smoothing.mean($0.loss) }
    let panels = [
      ChartPanel("Held-out loss per token", series: lines(.marked) { $0.heldOutLoss }),
      ChartPanel(
        "Held-out bits per character", series: lines(.marked) { $0.heldOutBitsPerCharacter }),
      ChartPanel(
        "Gradient norm, smoothed", scale: .logarithmic,
        series: lines(.solid) { Smoothing.mean($0.gradientNorm) }),
    ]
    self.init(
      title: title, subtitle: subtitle,
      legend: runs.enumerated().map { Key($1.name, colour: $0, sample: .line(.solid)) }
        + bands.map { Key($0.name, colour: $0.colour, sample: .area) },
      panel: ChartPanel(
        "Training loss per token (nats), smoothed", range: Chart.focus(loss), series: loss,
        bands: bands),
      smallPanels: panels.filter { !$0.series.isEmpty })
  }

  /// A steep start would press the rest flat: the range of all but the first 4 % of the steps,
  /// where that is less than half of the whole; else nil. Of single steps, the lowest hundredth may
  /// lie below.
  private static func focus(_ series: [ChartSeries]) -> ClosedRange<Double>? {
    let points = series.filter { $0.stroke != .faint }.flatMap(\.points).filter(\.y.isFinite)
    guard let end = points.map(\.x).max(), let lowest = points.map(\.y).min(),
      let highest = points.map(\.y).max(),
      let high = points.filter({ $0.x >= 0.04 * end }).map(\.y).max(),
      high - lowest > 0, high - lowest < 0.5 * (highest - lowest)
    else { return nil }
    let single = series.filter { $0.stroke == .faint }.flatMap(\.points).map(\.y)
      .filter(\.isFinite).sorted()
    let low = single.isEmpty ? lowest : min(lowest, single[single.count / 100])
    let margin = 0.04 * (high - low)
    return low - margin...high + margin
  }
}

/// Running means for curves.
package enum Smoothing {
  /// Means over a window of a fiftieth of the curve, twice: once alone leaves corners. At the start
  /// the window shrinks, so that a steep fall stays where it is; at the end it is one-sided. Values
  /// that are not finite are left out.
  package static func mean(_ points: [ChartPoint]) -> [ChartPoint] {
    guard points.count > 4 else { return points }
    let half = max(1, points.count / 100)
    return pass(pass(points.filter(\.y.isFinite), half), half)
  }

  private static func pass(_ points: [ChartPoint], _ half: Int) -> [ChartPoint] {
    var sums = [0.0]
    sums.reserveCapacity(points.count + 1)
    for point in points { sums.append(sums[sums.count - 1] + point.y) }
    return points.indices.map { index in
      let reach = min(half, index / 4)
      let start = index - reach
      let end = min(points.count, index + reach + 1)
      return ChartPoint(points[index].x, (sums[end] - sums[start]) / Double(end - start))
    }
  }
}
