// Signs that a router goes wrong, each with a name and the figure that shows it.

import Foundation

/// Something wrong with the router of one layer.
public struct RouterWarning: Sendable, Equatable {
  public enum Cause: String, Sendable, CaseIterable {
    case deadExperts = "dead expert"
    case collapse
    case logitGrowth = "logit growth"
  }

  public let layer: Int
  public let cause: Cause
  /// What was seen.
  public let evidence: String

  /// One line of at most `width` characters.
  public func line(_ glyphs: ScreenStyle.Glyphs, width: Int) -> String {
    let mark = glyphs == .unicode ? "⚠" : "!"
    let text = "\(mark) \(cause.rawValue) in layer \(layer): \(evidence)"
    guard text.count > width else { return text }
    let ellipsis = glyphs == .unicode ? "…" : "..."
    return text.prefix(max(0, width - ellipsis.count)) + ellipsis
  }
}

/// Looks at each router record; warns when a fault appears, and again only after it was gone.
public struct RouterWatch: Sendable {
  private struct Fault: Hashable {
    let layer: Int
    let cause: RouterWarning.Cause
  }

  private var standing: Set<Fault> = []

  public init() {}

  /// Faults that the record before did not show, layer after layer.
  public mutating func warnings(_ record: RouterRecord) -> [RouterWarning] {
    let found = record.layers.flatMap(RouterWatch.faults)
    let fresh = found.filter { !standing.contains(Fault(layer: $0.layer, cause: $0.cause)) }
    standing = Set(found.map { Fault(layer: $0.layer, cause: $0.cause) })
    return fresh
  }

  /// All faults of one layer.
  public static func faults(_ layer: LayerRouting) -> [RouterWarning] {
    [deadExperts(layer), collapse(layer), logitGrowth(layer)].compactMap { $0 }
  }

  /// With 16 choices an expert on average, one without any comes about by chance once in e¹⁶ times.
  private static func deadExperts(_ layer: LayerRouting) -> RouterWarning? {
    let dead = layer.dead
    guard layer.meanCount >= 16, !dead.isEmpty else { return nil }
    let names = dead.prefix(8).map(String.init).joined(separator: ", ")
    let rest = dead.count > 8 ? " and \(dead.count - 8) more" : ""
    return RouterWarning(
      layer: layer.layer, cause: .deadExperts,
      evidence:
        "no token of \(layer.tokens) chose expert\(dead.count > 1 ? "s" : "") \(names)\(rest)"
    )
  }

  /// e^entropy is how many experts the load is worth. Close to k of them, or an eighth of all, the
  /// router sends every token the same way.
  private static func collapse(_ layer: LayerRouting) -> RouterWarning? {
    guard layer.choices > 0, layer.tokens > 0 else { return nil }
    let perToken = Double(layer.choices) / Double(layer.tokens)
    let experts = Double(layer.experts)
    let bound = max(1.25 * perToken, experts / 8)
    let effective = exp(layer.loadEntropy)
    guard bound < 0.9 * experts, effective < bound else { return nil }
    return RouterWarning(
      layer: layer.layer, cause: .collapse,
      evidence: "the load is worth \(Figure.fixed(effective, 1)) of \(layer.experts) experts; "
        + "a larger balance coefficient helps")
  }

  /// Logits around 0 give a logsumexp of ln E. Ten more is a score ratio of e¹⁰: softmax loses
  /// digits, and the gradient its size.
  private static func logitGrowth(_ layer: LayerRouting) -> RouterWarning? {
    let typical = max(layer.z, 0).squareRoot()
    guard typical > log(Double(layer.experts)) + 10 else { return nil }
    return RouterWarning(
      layer: layer.layer, cause: .logitGrowth,
      evidence: "z is \(Figure.fitted(layer.z, 1, width: 8)), logsumexp near "
        + "\(Figure.fixed(typical, 1)); a z coefficient of 0.001 helps")
  }
}
