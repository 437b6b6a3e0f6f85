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
    /// The parts come in so many equal groups, and are dealt so that no rank has parts of one group
    /// without the ranks of that group having all of it: query heads in as many groups as there are
    /// key/value heads.
    public let groups: Int?
  }

  /// In order: where a dimension is named twice, the first axis cuts coarser.
  public let splits: [Split]

  /// Every rank holds all of it.
  public static let whole = Placement(splits: [])

  /// `dimension` is split over `axis`.
  public static func split(
    _ dimension: Int, over axis: MeshAxis, parts: Int? = nil, groups: Int? = nil
  ) -> Placement {
    whole.split(dimension, over: axis, parts: parts, groups: groups)
  }

  /// What is left of `dimension` is split over `axis` as well.
  public func split(
    _ dimension: Int, over axis: MeshAxis, parts: Int? = nil, groups: Int? = nil
  ) -> Placement {
    require(!splits.contains { $0.axis == axis }, "\(axis) splits twice")
    require(
      parts == nil || !splits.contains { $0.dimension == dimension },
      "parts of dimension \(dimension) are cut twice")
    if let groups {
      require(
        groups > 0 && (parts ?? 0) % groups == 0, "\(parts ?? 0) parts in \(groups) groups")
    }
    return Placement(
      splits: splits + [Split(dimension: dimension, axis: axis, parts: parts, groups: groups)])
  }

  /// The same split of another dimension.
  public func of(dimension: Int) -> Placement {
    Placement(
      splits: splits.map {
        Split(dimension: dimension, axis: $0.axis, parts: $0.parts, groups: $0.groups)
      })
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

  /// What tells apart ranks that hold different slices; replicas have equal keys.
  func replicaKey(at position: MeshPosition) -> [Int] {
    splits.map { split in
      guard let parts = split.parts, split.groups == nil else {
        return position.coordinate(split.axis)
      }
      return sharedPart(of: parts, along: split, at: position) ?? position.coordinate(split.axis)
    }
  }

  /// Which of the ranks along its only axis that hold the same slice the one at `position` is.
  func numberAmongSharers(at position: MeshPosition) -> Int {
    let split = splits[0]
    let ranks = position.layout[split.axis]
    guard let parts = split.parts, split.groups == nil, parts < ranks else { return 0 }
    return position.coordinate(split.axis) % (ranks / parts)
  }

  private func share(of parts: Int, along split: Split, at position: MeshPosition) -> Range<Int> {
    if let groups = split.groups {
      let each = parts / groups
      guard let group = sharedPart(of: groups, along: split, at: position) else {
        let own = Parallel.share(
          of: groups, part: position.coordinate(split.axis), of: position.layout[split.axis])
        return own.lowerBound * each..<own.upperBound * each
      }
      let sharers = position.layout[split.axis] / groups
      require(each >= sharers, "\(each) parts of a group for \(sharers) ranks")
      let own = Parallel.share(
        of: each, part: position.coordinate(split.axis) % sharers, of: sharers)
      return group * each + own.lowerBound..<group * each + own.upperBound
    }
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
