// The mesh axes, and where a rank stands on each: arithmetic alone, no communication.

/// A direction along which ranks are divided. `data` and `tensor` form the grid of attention;
/// `expertData`, `expert` and `expertTensor` the grid of experts.
public enum MeshAxis: String, CaseIterable, Sendable, Codable {
  case data
  case tensor
  case expertData = "expert-data"
  case expert
  case expertTensor = "expert-tensor"

  /// The axes of each grid, slowest first: tensor and expert-tensor vary fastest with the rank.
  static let grids: [[MeshAxis]] = [[.data, .tensor], [.expertData, .expert, .expertTensor]]
}

/// One rank's place in a layout.
public struct MeshPosition: Hashable, Sendable, CustomStringConvertible {
  public let layout: Layout
  public let rank: Int

  public init(_ layout: Layout, rank: Int) {
    self.layout = layout
    self.rank = rank
  }

  /// This rank's coordinate on an axis.
  public func coordinate(_ axis: MeshAxis) -> Int {
    switch axis {
    case .data: rank / layout.tensor
    case .tensor: rank % layout.tensor
    case .expertData: rank / (layout.expert * layout.expertTensor)
    case .expert: rank / layout.expertTensor % layout.expert
    case .expertTensor: rank % layout.expertTensor
    }
  }

  /// `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1, expert-tensor 0`; axes of one rank
  /// are left out, data and expert-data stay.
  public var description: String {
    let grids = MeshAxis.grids.map { axes in
      axes.filter { $0 == .data || $0 == .expertData || layout[$0] > 1 }
        .map { "\($0.rawValue) \(coordinate($0))" }.joined(separator: ", ")
    }
    return "rank \(rank) of \(layout.ranks): \(grids.joined(separator: "; "))"
  }
}
