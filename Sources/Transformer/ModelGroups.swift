// The groups of ranks that a model's layers meet, made once from the mesh.

import Kernels
import Parallel

/// How tokens reach the experts that they chose.
public enum ExpertDispatch: String, Codable, Sendable, CaseIterable {
  /// Each choice's row to the rank that holds its expert, by true counts.
  case exchange
  /// The same in two parts of the tokens: one part's rows travel while the other's are computed.
  case overlapped
  /// All rows to all ranks that hold experts of the layer; each takes what is for its own.
  case gather
  /// Whichever moves fewer bytes; if that is the exchange, in parts where ranks are on several machines.
  case automatic

  /// This; of `automatic`, what sends fewer rows in one layer's forward pass for each of a rank's
  /// tokens.
  ///
  /// With n ranks over the experts and m over each expert's hidden width: k·(n − 1)/n to exchange
  /// choices, which then go to m − 1 sharers, and as much back; n·m − 1 there and back to gather.
  public func resolved(
    _ configuration: RouterConfiguration, _ layout: Layout, spansMachines: Bool
  ) -> ExpertDispatch {
    guard self == .automatic else { return self }
    let k = Double(configuration.expertsPerToken)
    let n = Double(layout.expert)
    let m = Double(layout.expertTensor)
    let exchanged = 2 * (k * (n - 1) / n + k * (m - 1))
    let gathered = 2 * (n * m - 1)
    if gathered < exchanged { return .gather }
    return spansMachines ? .overlapped : .exchange
  }
}

/// Communicators by what the layers use them for.
struct ModelGroups {
  let world: Communicator
  /// Ranks that work on different samples.
  let data: Communicator
  /// Ranks that split attention and dense layers, and the tokens outside them.
  let tensor: Communicator
  /// Those that hold the same key/value heads.
  let keyValueSharers: Communicator
  /// Those that hold all key/value heads between them.
  let keyValuePartners: Communicator
  /// Ranks among which a layer's experts are dealt.
  let expert: Communicator
  /// Ranks that split each expert.
  let expertTensor: Communicator
  /// Both: all ranks that hold a layer's experts once.
  let experts: Communicator
  let dispatch: ExpertDispatch

  init(_ configuration: ModelConfiguration, mesh: ProcessMesh, dispatch: ExpertDispatch) {
    world = mesh.world
    data = mesh.communicator(.data)
    tensor = mesh.communicator(.tensor)
    keyValueSharers = mesh.sharers(of: configuration.keyValuePlacement)
    keyValuePartners = mesh.partners(of: configuration.keyValuePlacement)
    expert = mesh.communicator(.expert)
    expertTensor = mesh.communicator(.expertTensor)
    experts = mesh.communicator(over: [.expert, .expertTensor])
    self.dispatch = dispatch.resolved(
      configuration.router, mesh.layout, spansMachines: expert.spansMachines)
  }
}

extension ModelConfiguration {
  /// Whether this model can be split so.
  public func allows(_ layout: Layout) -> Bool {
    (try? validate()) != nil && (try? validate(layout)) != nil
  }

  /// Rows of the query projection: by heads, which stay with the key/value head that they read.
  var queryPlacement: Placement {
    .split(0, over: .tensor, parts: heads, groups: keyValueHeads)
  }

  /// Rows of the key and value projections: by heads; ranks beyond their number share one.
  var keyValuePlacement: Placement { .split(0, over: .tensor, parts: keyValueHeads) }

  /// Throws `ModelConfigurationError` for the first axis that this model cannot be split over.
  public func validate(_ layout: Layout) throws {
    func check(_ ok: Bool, _ axis: String, _ size: Int, _ accepted: String) throws {
      if !ok {
        throw ModelConfigurationError(
          field: "layout.\(axis)", value: "\(size)", accepted: accepted)
      }
    }
    let tensor = layout.tensor
    try check(
      tensor <= heads, "tensor", tensor, "1 to \(heads), the number of attention heads")
    try check(
      tensor <= keyValueHeads || tensor % keyValueHeads == 0, "tensor", tensor,
      "up to \(keyValueHeads), the number of key/value heads, or a multiple of it")
    try check(
      tensor <= vocabulary, "tensor", tensor, "1 to \(vocabulary), the vocabulary's size")
    try check(
      denseLayers.isEmpty || tensor <= denseWidth, "tensor", tensor,
      "1 to \(denseWidth), the dense layers' width")
    let shared = router.sharedExperts * router.expertWidth
    try check(
      shared == 0 || tensor <= shared, "tensor", tensor,
      "1 to \(shared), the shared experts' width")
    guard !expertLayers.isEmpty else { return }
    try check(
      router.experts % layout.expert == 0, "expert", layout.expert,
      "a divisor of \(router.experts), the number of experts")
    try check(
      layout.expertTensor <= router.expertWidth, "expertTensor", layout.expertTensor,
      "1 to \(router.expertWidth), the width of an expert")
  }
}
