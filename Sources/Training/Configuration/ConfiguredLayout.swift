// Which layout a run has: the configured sizes, the command line's over them, and what the model allows.

import Parallel
import Transformer

extension LayoutConfiguration {
  /// What differs from the defaults.
  private var sizes: LayoutSizes {
    var sizes = LayoutSizes()
    sizes[.tensor] = tensor == 1 ? nil : tensor
    sizes[.expert] = expert == 1 ? nil : expert
    sizes[.expertTensor] = expertTensor == 1 ? nil : expertTensor
    sizes[.data] = data == 0 ? nil : data
    sizes[.expertData] = expertData == 0 ? nil : expertData
    return sizes
  }

  /// The layout of so many ranks. Throws `LayoutError` with the nearest that are allowed.
  public func layout(
    ranks: Int, suggesting isAllowed: (Layout) -> Bool = { _ in true }
  ) throws -> Layout {
    try sizes.layout(ranks: ranks, suggesting: isAllowed)
  }

  /// Takes `tensor=2,expert=4,expert-tensor=1`, on so many ranks, over what is set. Throws
  /// `LayoutError` with the nearest that are allowed.
  public mutating func read(
    _ text: String, ranks: Int, suggesting isAllowed: (Layout) -> Bool = { _ in true }
  ) throws {
    let named = try LayoutSizes(text)
    var sizes = sizes
    for axis in MeshAxis.allCases { sizes[axis] = named[axis] ?? sizes[axis] }
    let layout = try sizes.layout(ranks: ranks, suggesting: isAllowed)
    (tensor, expert, expertTensor) = (layout.tensor, layout.expert, layout.expertTensor)
    (data, expertData) = (layout.data, layout.expertData)
  }
}

extension RunConfiguration {
  /// Whether model and batch can be split so; a vocabulary that is not known yet can.
  public func allows(_ layout: Layout) -> Bool {
    var sized = model
    if sized.vocabulary == 0 { sized.vocabulary = 1 << 20 }
    return sized.allows(layout) && (try? validate(layout)) != nil
  }

  /// The layout of so many ranks. Throws `LayoutError` with the nearest that model and batch allow.
  public func resolvedLayout(ranks: Int) throws -> Layout {
    try layout.layout(ranks: ranks, suggesting: allows)
  }

  /// Takes the command line's layout, if it has one, over the configured sizes.
  public mutating func takeLayout(_ text: String?, ranks: Int) throws {
    guard let text else { return }
    try layout.read(text, ranks: ranks, suggesting: allows)
  }
}
