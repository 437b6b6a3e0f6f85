// Which part of an array each rank holds, as a rule that knows no rank.

import Kernels

/// Which dimensions of an array are split over which mesh axes.
///
/// Ranks that differ only on other axes hold the same slice: they are its replicas.
public struct Placement: Hashable, Sendable {
  /// One dimension cut along one axis.
  public struct Split: Hashable, Sendable {
    public let dimension: Int
    public let axis: MeshAxis
    /// The dimension consists of so many equal parts that stay whole, attention heads say; where
    /// they are fewer than the ranks of the axis, neighbours share one.
    public let parts: Int?
  }

  /// In order: where a dimension is named twice, the first axis cuts coarser.
  public let splits: [Split]

  /// Every rank holds all of it.
  public static let whole = Placement(splits: [])

  /// `dimension` is split over `axis`.
  public static func split(
    _ dimension: Int, over axis: MeshAxis, parts: Int? = nil
  ) -> Placement {
    whole.split(dimension, over: axis, parts: parts)
  }

  /// What is left of `dimension` is split over `axis` as well.
  public func split(_ dimension: Int, over axis: MeshAxis, parts: Int? = nil) -> Placement {
    require(!splits.contains { $0.axis == axis }, "\(axis) splits twice")
    require(
      parts == nil || !splits.contains { $0.dimension == dimension },
      "parts of dimension \(dimension) are cut twice")
    return Placement(splits: splits + [Split(dimension: dimension, axis: axis, parts: parts)])
  }

  /// The slice of an array of this shape that the rank at `position` holds, one range a dimension.
  ///
  /// Sizes need not divide: slices differ by one at most, and may be empty.
  public func slice(of shape: [Int], at position: MeshPosition) -> [Range<Int>] {
    var slice = shape.map { 0..<$0 }
    for split in splits {
      require(split.dimension < shape.count, "no dimension \(split.dimension) in \(shape)")
      let range = slice[split.dimension]
      let parts = split.parts ?? range.count
      require(
        parts == range.count || (parts > 0 && range.count % parts == 0),
        "dimension \(split.dimension) of \(shape) has no \(parts) equal parts")
      let share = share(of: parts, along: split, at: position)
      let unit = parts == 0 ? 0 : range.count / parts
      slice[split.dimension] =
        range.lowerBound + share.lowerBound * unit..<range.lowerBound + share.upperBound * unit
    }
    return slice
  }

  /// The slice that this rank of the mesh holds.
  public func slice(of shape: [Int], on mesh: ProcessMesh) -> [Range<Int>] {
    slice(of: shape, at: mesh.position)
  }

  /// What tells apart ranks that hold different slices; replicas have equal keys.
  func replicaKey(at position: MeshPosition) -> [Int] {
    splits.map { split in
      guard let parts = split.parts else { return position.coordinate(split.axis) }
      return sharedPart(of: parts, along: split, at: position) ?? position.coordinate(split.axis)
    }
  }

  private func share(of parts: Int, along split: Split, at position: MeshPosition) -> Range<Int> {
    if split.parts != nil, let part = sharedPart(of: parts, along: split, at: position) {
      return part..<part + 1
    }
    return Parallel.share(
      of: parts, part: position.coordinate(split.axis), of: position.layout[split.axis])
  }

  /// The one part that this rank holds together with others, when parts are fewer than ranks.
  private func sharedPart(of parts: Int, along split: Split, at position: MeshPosition) -> Int? {
    let ranks = position.layout[split.axis]
    guard parts < ranks else { return nil }
    require(
      parts > 0 && ranks % parts == 0,
      "\(ranks) ranks along \(split.axis.rawValue) cannot share \(parts) parts evenly")
    return position.coordinate(split.axis) / (ranks / parts)
  }
}
