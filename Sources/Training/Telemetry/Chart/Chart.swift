// What a chart shows: panels with lines, bands and labels. How it looks: ChartDrawing.

/// A place in a panel, in its own units.
public struct ChartPoint: Sendable, Equatable {
  public var x: Double
  public var y: Double

  public init(_ x: Double, _ y: Double) {
    self.x = x
    self.y = y
  }
}

/// A line of one panel. Points that are not finite are left out, and the line breaks there.
public struct ChartSeries: Sendable, Equatable {
  public enum Stroke: Sendable, Equatable {
    /// Thin and pale: single values behind their mean.
    case faint
    case solid
    case dashed
    /// A line through visible points.
    case marked
  }

  public var name: String
  /// Which of the chart's colours; they begin anew after the eighth.
  public var colour: Int
  public var stroke: Stroke
  /// In the order of x.
  public var points: [ChartPoint]

  public init(_ name: String, colour: Int, stroke: Stroke, points: [ChartPoint]) {
    self.name = name
    self.colour = colour
    self.stroke = stroke
    self.points = points
  }
}

/// An area between two lines over the same places: the spread of several runs.
public struct ChartBand: Sendable, Equatable {
  public var name: String
  public var colour: Int
  public var lower: [ChartPoint]
  public var upper: [ChartPoint]

  public init(_ name: String, colour: Int, lower: [ChartPoint], upper: [ChartPoint]) {
    self.name = name
    self.colour = colour
    self.lower = lower
    self.upper = upper
  }
}

/// A pair of axes and what stands in it.
public struct ChartPanel: Sendable, Equatable {
  public enum Scale: Sendable, Equatable { case linear, logarithmic }

  public var title: String
  public var scale: Scale
  /// The vertical range; nil takes that of all lines but the faint ones, and of all bands. What
  /// lies above it is cut off, and said so.
  public var range: ClosedRange<Double>?
  public var series: [ChartSeries]
  public var bands: [ChartBand]

  public init(
    _ title: String, scale: Scale = .linear, range: ClosedRange<Double>? = nil,
    series: [ChartSeries], bands: [ChartBand] = []
  ) {
    self.title = title
    self.scale = scale
    self.range = range
    self.series = series
    self.bands = bands
  }
}

/// A picture of curves: one large panel, and small ones in a row below.
public struct Chart: Sendable, Equatable {
  /// A line of the legend.
  public struct Key: Sendable, Equatable {
    public enum Sample: Sendable, Equatable {
      case line(ChartSeries.Stroke)
      case area
    }

    public var name: String
    /// nil for one that stands for all colours.
    public var colour: Int?
    public var sample: Sample

    public init(_ name: String, colour: Int?, sample: Sample) {
      self.name = name
      self.colour = colour
      self.sample = sample
    }
  }

  public var title: String
  public var subtitle: String
  /// What stands under the horizontal axes.
  public var horizontal: String
  public var legend: [Key]
  public var panel: ChartPanel
  public var smallPanels: [ChartPanel]

  public init(
    title: String, subtitle: String = "", horizontal: String = "step", legend: [Key],
    panel: ChartPanel, smallPanels: [ChartPanel] = []
  ) {
    self.title = title
    self.subtitle = subtitle
    self.horizontal = horizontal
    self.legend = legend
    self.panel = panel
    self.smallPanels = smallPanels
  }

  /// The picture as an SVG file, readable on light and on dark ground.
  public var svg: String { ChartDrawing(self).svg }
}
