// How ranks are divided: two grids over the same ranks, one for attention, one for experts.

/// Sizes of all mesh axes. data × tensor = ranks = expert-data × expert × expert-tensor.
public struct Layout: Hashable, Sendable, Codable, CustomStringConvertible {
  public let data: Int
  public let tensor: Int
  public let expertData: Int
  public let expert: Int
  public let expertTensor: Int

  public var ranks: Int { data * tensor }

  /// One rank.
  public static let single = Layout(data: 1, tensor: 1, expertData: 1, expert: 1, expertTensor: 1)

  private init(data: Int, tensor: Int, expertData: Int, expert: Int, expertTensor: Int) {
    self.data = data
    self.tensor = tensor
    self.expertData = expertData
    self.expert = expert
    self.expertTensor = expertTensor
  }

  /// The layout of `ranks` ranks with these sizes; data and expert-data follow, and are checked
  /// where given.
  ///
  /// - Throws: `LayoutError` when the sizes do not multiply, with the nearest that do.
  public init(
    ranks: Int, tensor: Int = 1, expert: Int = 1, expertTensor: Int = 1, data: Int? = nil,
    expertData: Int? = nil
  ) throws {
    var wanted = LayoutSizes()
    wanted[.tensor] = tensor
    wanted[.expert] = expert
    wanted[.expertTensor] = expertTensor
    wanted[.data] = data
    wanted[.expertData] = expertData
    self = try wanted.layout(ranks: ranks)
  }

  /// Reads `tensor=2,expert=4,expert-tensor=1`, in any order; what is missing is 1 or follows.
  ///
  /// - Throws: `LayoutError` for unknown axes, bad numbers, and sizes that do not multiply; it names the
  ///   nearest that are allowed.
  public init(
    _ text: String, ranks: Int, suggesting isAllowed: (Layout) -> Bool = { _ in true }
  ) throws {
    self = try LayoutSizes(text).layout(ranks: ranks, suggesting: isAllowed)
  }

  public subscript(_ axis: MeshAxis) -> Int {
    switch axis {
    case .data: data
    case .tensor: tensor
    case .expertData: expertData
    case .expert: expert
    case .expertTensor: expertTensor
    }
  }

  /// `data=4,tensor=2,expert-data=1,expert=8,expert-tensor=1`; `init(_:ranks:)` reads it back.
  public var description: String {
    MeshAxis.allCases.map { "\($0.rawValue)=\(self[$0])" }.joined(separator: ",")
  }

  /// Every layout of so many ranks.
  public static func all(ranks: Int) -> [Layout] {
    let divisors = (1...ranks).filter { ranks % $0 == 0 }
    return divisors.flatMap { tensor in
      divisors.flatMap { expert in
        divisors.filter { ranks % (expert * $0) == 0 }.map { expertTensor in
          Layout(
            data: ranks / tensor, tensor: tensor, expertData: ranks / (expert * expertTensor),
            expert: expert, expertTensor: expertTensor)
        }
      }
    }
  }
}

/// Sizes as somebody wrote them: not yet known to multiply.
package struct LayoutSizes {
  private var sizes: [MeshAxis: Int] = [:]

  package init() {}

  /// Throws `LayoutError` for unknown axes and bad numbers.
  package init(_ text: String) throws {
    for item in text.split(separator: ",", omittingEmptySubsequences: true) {
      let parts = item.split(separator: "=", maxSplits: 1).map {
        $0.trimmingPrefix { $0 == " " }.prefix { $0 != " " }
      }
      guard let name = parts.first, let axis = MeshAxis(rawValue: String(name)) else {
        throw LayoutError(
          text: """
            layout '\(text)': '\(item)' names no axis; \
            axes are \(MeshAxis.allCases.map(\.rawValue).joined(separator: ", "))
            """)
      }
      guard parts.count == 2, let size = Int(parts[1]), size >= 1 else {
        throw LayoutError(text: "layout '\(text)': '\(item)' needs a whole number of 1 or more")
      }
      guard sizes[axis] == nil else {
        throw LayoutError(text: "layout '\(text)': \(axis.rawValue) is given twice")
      }
      sizes[axis] = size
    }
  }

  /// Nil where the size follows from the others, or is 1.
  package subscript(_ axis: MeshAxis) -> Int? {
    get { sizes[axis] }
    set { sizes[axis] = newValue }
  }

  /// What is asked for a free axis.
  private func free(_ axis: MeshAxis) -> Int { sizes[axis] ?? 1 }

  private func matches(_ layout: Layout) -> Bool {
    MeshAxis.allCases.allSatisfy { axis in
      guard let size = sizes[axis] else {
        // The two data axes follow from the rest.
        return axis == .data || axis == .expertData || layout[axis] == 1
      }
      return size == layout[axis]
    }
  }

  /// The layout of so many ranks. Throws `LayoutError` with the nearest of those that are allowed where
  /// there is none.
  package func layout(
    ranks: Int, suggesting isAllowed: (Layout) -> Bool = { _ in true }
  ) throws -> Layout {
    let possible = Layout.all(ranks: ranks)
    if let layout = possible.first(where: matches) { return layout }
    let nearest = possible.filter(isAllowed).map { ($0, distance(to: $0)) }
      .sorted { $0.1 < $1.1 }.prefix(4).map { $0.0.description }
    let others =
      nearest.isEmpty ? "no other would do" : "nearest: \(nearest.joined(separator: "; "))"
    let asked = MeshAxis.allCases.compactMap { axis in sizes[axis].map { "\(axis.rawValue)=\($0)" }
    }
    throw LayoutError(
      text: """
        layout '\(asked.joined(separator: ","))' is impossible on \(ranks) \
        rank\(ranks == 1 ? "" : "s"): data × tensor and expert-data × expert × expert-tensor must \
        each be \(ranks); \(others)
        """)
  }

  /// How many times too large or too small each size is, less one, added over the axes.
  private func distance(to layout: Layout) -> Double {
    MeshAxis.allCases.reduce(0) { total, axis in
      guard let size = sizes[axis] ?? (axis == .data || axis == .expertData ? nil : 1) else {
        return total
      }
      let ratio = Double(max(size, layout[axis])) / Double(max(1, min(size, layout[axis])))
      return total + ratio - 1
    }
  }
}

/// A layout that cannot be had.
public struct LayoutError: AgreedError, CustomStringConvertible {
  private let text: String
  package init(text: String) { self.text = text }
  public var description: String { text }
}
