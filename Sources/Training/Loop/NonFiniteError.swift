// Where a loss or gradient stopped being finite: by rank, parameter and element.

import Kernels
import Parallel
import Tensors

/// A loss or gradient that is not a number or infinite, found before it reached the weights.
public struct NonFiniteError: AgreedError, CustomStringConvertible {
  /// What showed it.
  package enum Quantity: String { case loss, gradient }

  public let step: Int
  let what: Quantity
  /// Each guilty rank with what it found; where none is guilty by itself, what the sum shows.
  public let findings: [String]

  public var description: String {
    "step \(step): the \(what.rawValue) is not finite; weights keep their last values; "
      + findings.joined(separator: "; ")
  }

  /// Looks through weights and through gradients that are not yet summed over ranks; sums them if
  /// nothing is found in them. Every rank calls it alike.
  ///
  /// Backward runs from the last parameter to the first, so of several bad gradients the one that was
  /// declared last is named: the nearest to the loss that ranks can tell, since one bad number
  /// spreads over the layers below.
  package init(
    step: Int, what: Quantity, ownLoss: Double, in parameters: ParameterSet, mesh: ProcessMesh,
    team: ThreadTeam
  ) {
    self.step = step
    self.what = what
    let world = mesh.world
    parameters.completeGradients()
    var own: [String] = []
    if !ownLoss.isFinite { own.append("loss \(ownLoss)") }
    for parameter in parameters.parameters {
      guard let element = firstNonFinite(parameter.value.flat, team: team) else { continue }
      own.append("weight \(parameter.element(element))")
      break
    }
    let bad = parameters.parameters.reversed().lazy.compactMap { parameter in
      firstNonFinite(parameter.gradient.flat, team: team).map { parameter.element($0) }
    }
    if let nearest = bad.first {
      own.append("gradient of \(nearest), of all bad ones the nearest to the loss")
    }
    func said(_ finding: [String]) -> [String] {
      world.gather(finding.isEmpty ? "" : "\(world.speaker): \(finding.joined(separator: ", "))")
        .filter { !$0.isEmpty }
    }
    let guilty = said(own)
    guard guilty.isEmpty else {
      findings = guilty
      return
    }
    guard what == .gradient else {
      findings = ["every rank's own share of it is finite, only the sum over ranks is not"]
      return
    }
    parameters.scatterGradients(team: team)
    var summed: [String] = []
    for piece in parameters.pieces.reversed() {
      guard let element = firstNonFinite(piece.gradients, team: team) else { continue }
      summed = ["gradient of \(piece.parameter.element(piece.elements.lowerBound + element))"]
      break
    }
    let sums = said(summed)
    findings =
      sums.isEmpty
      ? ["every gradient is finite, on each rank and summed; the sum of their squares is not"]
      : ["every rank's own gradients are finite, only the sum over ranks is not"] + sums
  }
}

extension Parameter {
  /// Name and place in the whole array of one element of this rank's slice: `weight[3, 17]`.
  fileprivate func element(_ index: Int) -> String {
    var rest = index
    let place = slice.reversed().map { range in
      defer { rest /= range.count }
      return String(range.lowerBound + rest % range.count)
    }
    return "\(name)[\(place.reversed().joined(separator: ", "))]"
  }
}
