// A mixture of experts: the router, the way to the experts and back, and what every token passes.

import Kernels
import Parallel
import Tensors

/// residual + Σ_chosen w·expert(x) + shared(x), with the experts dealt over ranks.
struct Mixture {
  let router: Router
  private let experts: GatedExperts
  private let shared: WholeFeedForward?
  private let groups: ModelGroups

  init(
    _ configuration: ModelConfiguration, groups: ModelGroups, layer: Int, name: String,
    in parameters: ParameterSet
  ) {
    self.groups = groups
    let settings = configuration.router
    router = Router(configuration, groups: groups, layer: layer, in: parameters)
    experts = GatedExperts(
      configuration, name: "\(name).experts", experts: settings.experts,
      hidden: settings.expertWidth, over: .expert, in: parameters)
    shared =
      settings.sharedExperts > 0
      ? WholeFeedForward(
        configuration, groups: groups, name: "\(name).shared_experts",
        hidden: settings.sharedExperts * settings.expertWidth, in: parameters) : nil
  }

  /// This rank's rows of x, normalised, and of the residual, of the `wanted` tokens (nil: all). Every rank
  /// computes, with no rows too.
  func callAsFunction(
    _ x: Variable, adding residual: Variable, _ batch: Batch, wanted: WantedTokens?, drops: Bool
  ) -> (Variable, Routing) {
    let routing = router(x, batch, wanted: wanted, drops: drops)
    let mixed =
      switch groups.dispatch {
      case .gather: gathered(x, adding: residual, routing)
      case .overlapped: exchanged(x, adding: residual, routing, parts: 2)
      case .exchange, .automatic: exchanged(x, adding: residual, routing, parts: 1)
      }
    let y = shared?(x, adding: mixed, tokens: wanted?.tokens.count ?? batch.tokens.count) ?? mixed
    return (y, routing)
  }

  /// Each choice's row goes to the rank of its expert, and its result comes back, in so many parts of the
  /// tokens: what travels of one is met after another was computed, in the backward pass too.
  private func exchanged(
    _ x: Variable, adding residual: Variable, _ routing: Routing, parts: Int
  ) -> Variable {
    let tokens = x.value.rows
    let choices =
      parts == 1
      ? [routing.choices]
      : (0..<parts).map { routing.choices(ofTokens: share(of: tokens, part: $0, of: parts)) }
    let ways = choices.map {
      groups.expert.groupedExchange(counts: $0.counts, sharers: groups.expertTensor)
    }
    let going = choices.indices.map { part in
      (
        rows: ways[part].startDispatch(gather(x, choices[part].map)),
        weights: ways[part].startDispatch(select(routing.weights, rows: choices[part].order))
      )
    }
    let coming = choices.indices.map { part in
      let way = ways[part]
      return way.startCollect(
        experts(
          way.dispatched(going[part].rows), offsets: way.offsets,
          rowWeights: way.dispatched(going[part].weights)))
    }
    return choices.indices.reduce(residual) { y, part in
      combine(coming[part].arrived(), choices[part].map, adding: y)
    }
  }

  /// All rows go to all ranks of the experts; each computes what its own experts add, and the sums
  /// of those come back.
  private func gathered(_ x: Variable, adding residual: Variable, _ routing: Routing) -> Variable {
    let group = groups.experts
    let sizes = group.allGather([x.value.rows, routing.experts.count])
    let tokens = stride(from: 0, to: sizes.count, by: 2).map { sizes[$0] }
    let choices = stride(from: 1, to: sizes.count, by: 2).map { sizes[$0] }
    let all = group.allGathered(x, counts: tokens)
    let weights = group.allGathered(routing.weights, counts: choices)
    let own = ExpertChoices(
      group.allGather(routing.experts, counts: choices),
      ofEach: group.allGather(routing.choicesOfEach, counts: tokens),
      among: groups.expert.ownShare(of: routing.expertCount))
    let outputs = experts(
      gather(all, own.map), offsets: own.offsets, rowWeights: select(weights, rows: own.order))
    return group.reduceScattered(counts: tokens, adding: residual) {
      combine(outputs, own.map, adding: $0)
    }
  }
}
