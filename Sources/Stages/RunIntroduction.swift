// What a run says of itself before its first step.

import Kernels
import Parallel
import Training
import Transformer

/// Model, data, machine, and where the weights come from, in lines for the user.
struct RunIntroduction {
  let configuration: RunConfiguration
  let model: LanguageModel
  let mesh: ProcessMesh
  let peak: ProductPeak
  /// What the handshake and the wiring test took.
  let checking: Duration
  let threads: Int
  let start: StartCheckpoint?
  /// The stage's own lines, of which there is at least one.
  let stage: [String]

  func text(_ resumed: ResumedCheckpoint?, isResuming: Bool, folder: String) -> String {
    let ranks = mesh.world.size == 1 ? "1 rank" : "\(mesh.world.size) ranks"
    let threads = threads == 1 ? "1 thread" : "\(threads) threads"
    let rate = Figure.fixed(peak.operationsPerSecond / 1e9, 0)
    var lines = [
      "\(configuration.run.name): \(Figure.count(Double(model.parameters.count))) parameters, "
        + "\(Figure.count(Double(configuration.model.activeParameters))) active a token; "
        + "\(ranks) of \(threads), \(configuration.run.precision.rawValue)",
      "\(stage[0]); vocabulary \(configuration.model.vocabulary)",
    ]
    lines += stage.dropFirst()
    lines.append("products: \(productKernelName), \(rate) GFLOP/s measured")
    if let start, resumed == nil { lines.append("weights of \(start.folder.path)") }
    if mesh.world.size > 1 {
      let milliseconds = Figure.fixed(checking / .milliseconds(1), 0)
      let isDealt = mesh.size(.expert) * mesh.size(.expertTensor) > 1
      lines.append(
        "layout: \(mesh.layout)" + (isDealt ? "; experts by \(model.dispatch.rawValue)" : ""))
      let learners = model.parameters.learners
      if learners.parts > 1 {
        lines.append(
          "learners: \(learners.parts) models, each on \(learners.mesh.size(.data)) of "
            + "\(mesh.size(.data)) data ranks")
      }
      lines.append("ranks: handshake and wiring test passed in \(milliseconds) ms")
    }
    if let warning = productKernelWarning { lines.append("warning: \(warning)") }
    for checkpoint in resumed?.passedOver ?? [] {
      guard case .failure(let error) = checkpoint.state else { continue }
      lines.append("warning: passed over a damaged checkpoint: \(error)")
    }
    if let resumed {
      lines.append("resumed from \(resumed.path) at step \(resumed.step)")
      if resumed.step >= configuration.training.steps {
        lines.append(
          "nothing is left to do: training.steps is \(configuration.training.steps); to go on, set "
            + "it to more than \(resumed.step)")
      }
    } else if isResuming {
      lines.append("no checkpoint in \(folder) yet: starting anew")
    }
    return lines.joined(separator: "\n")
  }
}
