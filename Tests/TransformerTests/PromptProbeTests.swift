// What an attack asks of a model: probabilities as the forward pass has them, gradients as differences
// have them, the same on every layout.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct PromptProbeTests {
  private static let probes = [
    PromptProbe(prompt: [1, 2, 3, 4, 5, 6], target: [7, 8, 9], segment: 2..<5),
    PromptProbe(prompt: [10, 11], target: [12], segment: 0..<1),
    PromptProbe(prompt: [13, 14, 15, 16], target: [17, 18], segment: 1..<4),
  ]
  /// A token that no probe holds.
  private static let spare: Int32 = 36

  @Test
  func `a target's log-probability is the sum over its tokens, whatever else is in the batch`()
    throws
  {
    let run = try TinyRun(precision: .float64)
    let together = run.model.logProbabilities(of: Self.probes)
    for (probe, found) in zip(Self.probes, together) {
      let tokens = probe.prompt + probe.target
      let tape = Tape(try Device(precision: .float64, threads: 1), recording: false)
      let output = run.model.forward(Batch(tokens: tokens, sequences: 1), on: tape)
      let logits = run.model.logits(output.hidden, tokens: tokens.count).value
      let expected = probe.target.indices.reduce(0.0) { sum, place in
        let row = logits.slices(probe.prompt.count - 1 + place, count: 1).elements
        let highest = row.max()!
        let total = row.reduce(0) { $0 + exp($1 - highest) }
        return sum + row[Int(probe.target[place])] - highest - log(total)
      }
      #expect(abs(found - expected) <= 1e-12 * abs(expected))
      #expect(run.model.logProbabilities(of: [probe]) == [found])
    }
    #expect(run.model.logProbabilities(of: []).isEmpty)
  }

  @Test(arguments: [false, true])
  func `the gradient by one-hot is that of central differences`(recomputes: Bool) throws {
    let run = try TinyRun(precision: .float64)
    run.model.recomputesBlocks = recomputes
    let before = run.weights
    let gradients = run.model.oneHotGradients(of: Self.probes)
    #expect(run.weights == before)
    #expect(run.model.parameters.parameters.allSatisfy { !$0.slot.isFilled })
    let table = run.model.parameters.parameters.first { $0.name == "model.embed_tokens.weight" }!
    let rows = table.value.elements
    let width = run.model.configuration.width
    func row(_ token: Int32) -> ArraySlice<Double> {
      rows[Int(token) * width..<(Int(token) + 1) * width]
    }
    /// log p with a place's one-hot moved by `step` towards a token: the spare token is what it becomes.
    func moved(_ probe: PromptProbe, _ place: Int, to token: Int32, by step: Double) -> Double {
      var changed = rows
      let mixed = zip(row(probe.prompt[place]), row(token)).map { $0 + step * $1 }
      changed.replaceSubrange(Int(Self.spare) * width..<(Int(Self.spare) + 1) * width, with: mixed)
      table.value.assign(changed)
      defer { table.value.assign(rows) }
      var prompt = probe.prompt
      prompt[place] = Self.spare
      return run.model.logProbabilities(of: [
        PromptProbe(prompt: prompt, target: probe.target, segment: probe.segment)
      ])[0]
    }
    var worst = 0.0
    for (probe, gradient) in zip(Self.probes, gradients) {
      #expect(gradient.count == probe.segment.count * 37)
      let scale = gradient.map(abs).max()!
      for (index, place) in probe.segment.enumerated() {
        for token in stride(from: Int32(0), to: 36, by: 5) {
          let step = 1e-4
          let difference =
            (moved(probe, place, to: token, by: step) - moved(probe, place, to: token, by: -step))
            / (2 * step)
          worst = max(worst, abs(gradient[index * 37 + Int(token)] - difference) / scale)
        }
      }
    }
    #expect(worst <= 1e-7, "relative error \(worst)")
  }

  @Test(arguments: [("data=2", 2), ("expert=2", 2), ("tensor=2", 2), ("tensor=2,expert=2", 4)])
  func `layouts give the same probabilities and gradients`(
    layout: (text: String, ranks: Int)
  ) throws {
    @Sendable func found(_ mesh: ProcessMesh) throws -> ([Double], [[Double]]) {
      let run = try TinyRun(precision: .float64, mesh: mesh)
      return (
        run.model.logProbabilities(of: Self.probes), run.model.oneHotGradients(of: Self.probes)
      )
    }
    let one = try found(.single())
    let others = try InProcessRanks.run(layout.ranks) { world in
      try found(ProcessMesh(world, layout: try Layout(layout.text, ranks: layout.ranks)))
    }
    for other in others {
      #expect(relativeError(other.0, one.0) <= Bar.layout)
      for (mine, theirs) in zip(other.1, one.1) {
        #expect(relativeError(mine, theirs) <= Bar.layout)
      }
      // What ranks decide by is the same to the last bit.
      #expect(other.0 == others[0].0 && other.1 == others[0].1)
    }
  }
}
