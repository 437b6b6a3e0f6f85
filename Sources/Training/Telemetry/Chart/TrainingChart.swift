// The chart of a training run, or of several over each other.

extension Chart {
  /// Loss of each step and its mean, held-out loss, bits per character, learning rate, gradient
  /// norm. Several runs: only means, a colour each.
  public init(
    runs: [RunHistory], title: String, subtitle: String = "", lossRange: ClosedRange<Double>? = nil,
    lossBands: [ChartBand] = []
  ) {
    let isSingle = runs.count == 1
    // One run has colours to spare: the held-out curve gets its own.
    func heldOutColour(_ run: Int) -> Int { isSingle ? 1 : run }
    var loss: [ChartSeries] = []
    var bits: [ChartSeries] = []
    var rates: [ChartSeries] = []
    var norms: [ChartSeries] = []
    for (index, run) in runs.enumerated() {
      func series(
        _ name: String, _ stroke: ChartSeries.Stroke, _ points: [ChartPoint], heldOut: Bool = false
      ) -> ChartSeries {
        ChartSeries(
          isSingle ? name : "\(run.name), \(name)", colour: heldOut ? heldOutColour(index) : index,
          stroke: stroke, points: points)
      }
      if isSingle { loss.append(series("training", .faint, run.loss)) }
      loss.append(series("training", .solid, Smoothing.mean(run.loss)))
      loss.append(series("held-out", .marked, run.heldOutLoss, heldOut: true))
      if isSingle { bits.append(series("training", .faint, run.bitsPerCharacter)) }
      bits.append(series("training", .solid, Smoothing.mean(run.bitsPerCharacter)))
      bits.append(series("held-out", .marked, run.heldOutBitsPerCharacter, heldOut: true))
      rates.append(series("learning rate", .solid, run.learningRate))
      if isSingle { norms.append(series("gradient norm", .faint, run.gradientNorm)) }
      norms.append(series("gradient norm", .solid, Smoothing.mean(run.gradientNorm)))
    }
    func hasPoints(_ series: [ChartSeries]) -> Bool { series.contains { !$0.points.isEmpty } }
    let filled = { (series: [ChartSeries]) in series.filter { !$0.points.isEmpty } }
    var small: [ChartPanel] = []
    if hasPoints(bits) { small.append(ChartPanel("Bits per character", series: filled(bits))) }
    if hasPoints(rates) { small.append(ChartPanel("Learning rate", series: filled(rates))) }
    if hasPoints(norms) {
      small.append(ChartPanel("Gradient norm", scale: .logarithmic, series: filled(norms)))
    }
    let hasHeldOut = runs.contains { !$0.heldOutLoss.isEmpty }
    self.init(
      title: title, subtitle: subtitle,
      legend: Chart.legend(runs, hasHeldOut: hasHeldOut)
        + lossBands.map { Key($0.name, colour: $0.colour, sample: .area) },
      panel: ChartPanel(
        "Loss per token (nats)", range: lossRange, series: filled(loss), bands: lossBands),
      smallPanels: small)
  }

  private static func legend(_ runs: [RunHistory], hasHeldOut: Bool) -> [Key] {
    guard runs.count != 1 else {
      let training = [
        Key("training, each step", colour: 0, sample: .line(.faint)),
        Key("training, smoothed", colour: 0, sample: .line(.solid)),
      ]
      return training + (hasHeldOut ? [Key("held-out", colour: 1, sample: .line(.marked))] : [])
    }
    let names = runs.enumerated().map { Key($1.name, colour: $0, sample: .line(.solid)) }
    guard hasHeldOut else { return names }
    return names + [
      Key("training, smoothed", colour: nil, sample: .line(.solid)),
      Key("held-out", colour: nil, sample: .line(.marked)),
    ]
  }
}

/// Running means for curves.
package enum Smoothing {
  /// Means over a window of a fiftieth of the curve, twice: once alone leaves corners. At the start the
  /// window shrinks, so that a steep fall stays where it is; at the end it is one-sided. Values that
  /// are not finite are left out.
  package static func mean(_ points: [ChartPoint]) -> [ChartPoint] {
    let half = max(1, points.count / 100)
    guard points.count > 4 else { return points }
    return pass(pass(points.filter(\.y.isFinite), half), half)
  }

  private static func pass(_ points: [ChartPoint], _ half: Int) -> [ChartPoint] {
    var sums = [0.0]
    sums.reserveCapacity(points.count + 1)
    for point in points { sums.append(sums[sums.count - 1] + point.y) }
    return points.indices.map { index in
      let reach = min(half, index)
      let end = min(points.count, index + reach + 1)
      let start = index - reach
      return ChartPoint(points[index].x, (sums[end] - sums[start]) / Double(end - start))
    }
  }
}
