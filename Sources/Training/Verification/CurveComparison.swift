// How far loss curves lie apart, in units of what rounding alone does to them.

/// Several runs' losses against the first one's, and against the spread of runs alike.
public struct CurveComparison: Sendable {
  /// Largest relative difference of a single loss within the first steps, to the first run's.
  public let firstDifference: Double
  /// Largest distance of a smoothed curve from the mean of the spread's, over the largest distance
  /// between two of those; nil without a spread.
  public let distance: Double?
  /// The area that the spread's smoothed curves cover.
  public let band: ChartBand?

  /// Throws `CurvesError` where runs have different steps.
  public init(_ runs: [RunHistory], spread: [RunHistory], first: Int) throws {
    let steps = runs[0].loss.map(\.x)
    for run in runs + spread where run.loss.map(\.x) != steps {
      throw CurvesError(
        text: "\(run.name) has \(run.loss.count) steps to \(run.loss.last?.x ?? 0), "
          + "\(runs[0].name) \(steps.count) to \(steps.last ?? 0); accepted: runs of equal steps")
    }
    var largest = 0.0
    for run in runs.dropFirst() {
      for (own, reference) in zip(run.loss, runs[0].loss).prefix(first) {
        let difference = abs(own.y - reference.y) / abs(reference.y)
        largest = difference.isNaN ? .infinity : max(largest, difference)
      }
    }
    firstDifference = largest
    guard !spread.isEmpty else {
      (distance, band) = (nil, nil)
      return
    }
    let smooth = spread.map { Smoothing.mean($0.loss) }
    let lower = steps.indices.map { step in smooth.map { $0[step].y }.min()! }
    let upper = steps.indices.map { step in smooth.map { $0[step].y }.max()! }
    let mean = steps.indices.map { step in
      smooth.reduce(0) { $0 + $1[step].y } / Double(smooth.count)
    }
    let width = zip(lower, upper).reduce(0) { max($0, $1.1 - $1.0) }
    var farthest = 0.0
    for run in runs {
      for (own, centre) in zip(Smoothing.mean(run.loss), mean) {
        let far = abs(own.y - centre)
        farthest = far.isNaN ? .infinity : max(farthest, far)
      }
    }
    distance = width > 0 ? farthest / width : (farthest > 0 ? .infinity : 0)
    band = ChartBand(
      "spread of \(spread.count) runs", colour: 7,
      lower: zip(steps, lower).map(ChartPoint.init), upper: zip(steps, upper).map(ChartPoint.init))
  }
}

/// Runs that cannot be compared.
public struct CurvesError: Error, CustomStringConvertible {
  let text: String
  public var description: String { text }
}
