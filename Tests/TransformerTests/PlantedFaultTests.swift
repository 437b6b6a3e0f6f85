// The six classic faults of parallel training, and first values that differ, planted one at a time around
// the real code: each is found.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct PlantedFaultTests {
  /// What the comparison says of a trainer whose gradients go through `fault`.
  private func finding(
    _ layout: String, ranks: Int, precision: Precision = .float64,
    fault: @escaping @Sendable (Trainer, [MicroBatch]) -> StepResult = { $0.gradients($1) },
    change: @escaping @Sendable (inout RunConfiguration, Layout) -> Void = { _, _ in }
  ) throws -> LayoutFinding {
    let configuration = LayoutVariant("plain").configuration
    let check = LayoutCheck(configuration)
    let reference = try check.reference(precision)
    return try InProcessRanks.run(ranks) { world in
      let layout = try Layout(layout, ranks: ranks)
      var planted = configuration
      change(&planted, layout)
      let device = try Device(precision: precision, threads: 1)
      let mesh = ProcessMesh(world, layout: layout)
      let model = try LanguageModel(
        planted.model, on: device, mesh: mesh, seed: UInt64(planted.run.seed))
      let trainer = Trainer(
        model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: 0)
      return check.compare(
        trainer, with: reference, dispatch: .exchange, gradients: { fault(trainer, $0) })
    }[0]
  }

  private static func isExpert(_ parameter: Parameter) -> Bool {
    parameter.name.contains(".experts.")
  }

  @Test(arguments: [("expert=2", 2), ("tensor=2,expert=2", 4)])
  func `without a fault nothing is found`(layout: (String, Int)) throws {
    #expect(try finding(layout.0, ranks: layout.1).passes(bar: Bar.layout))
  }

  @Test(arguments: Precision.allCases)
  func `first values of another seed fail, whatever the bar and the precision`(
    precision: Precision
  ) throws {
    let found = try finding(
      "data=2", ranks: 2, precision: precision, change: { run, _ in run.run.seed += 1 })
    #expect(!found.unequal.isEmpty && !found.passes(bar: .infinity))
    // What float32 rounds is shown, and no fault.
    let sound = try finding("data=2", ranks: 2, precision: precision)
    #expect(sound.passes(bar: 0) == (precision == .float32))
  }

  @Test func `expert gradients times the number of expert ranks`() throws {
    let found = try finding("expert=2", ranks: 2) { trainer, batches in
      let result = trainer.gradients(batches)
      for parameter in trainer.model.parameters.parameters where Self.isExpert(parameter) {
        scale(
          parameter.gradient.flat, by: Double(trainer.mesh.size(.expert)),
          into: parameter.gradient.flat, team: trainer.device.team)
      }
      return result
    }
    #expect(found.gradient.parameter.contains(".experts."))
    #expect(abs(found.gradient.relative - 1) < 1e-6)
  }

  @Test func `a missing sum over tensor ranks for the norms`() throws {
    let found = try finding("data=2,tensor=2", ranks: 4) { trainer, batches in
      trainer.summed(batches) { parameters in
        // Each rank's own part of the norms' gradients, summed over data ranks alone.
        let norms = parameters.parameters.filter { $0.name.hasSuffix("norm.weight") }
        for parameter in norms { parameter.slot.zeroIfEmpty() }
        let own = norms.map(\.gradient.elements)
        parameters.reduceGradients(team: trainer.device.team)
        for (parameter, elements) in zip(norms, own) {
          parameter.gradient.assign(elements)
          trainer.data.sum(parameter.gradient.flat)
        }
      }
    }
    #expect(found.gradient.parameter.hasSuffix("norm.weight"))
    #expect(found.gradient.relative > 1e-3)
  }

  @Test func `an auxiliary loss divided by the number of data ranks`() throws {
    let found = try finding(
      "data=4", ranks: 4,
      change: { $0.model.router.balanceCoefficient /= Double($1.data) })
    #expect(!found.passes(bar: Bar.layout))
    #expect(found.gradient.relative > 1e-6)
  }

  @Test func `a gradient norm without the experts`() throws {
    let found = try finding("expert=2", ranks: 2) { trainer, batches in
      var result = trainer.gradients(batches)
      let parameters = trainer.model.parameters.parameters
      let others = parameters.filter { !Self.isExpert($0) }
      result.gradientNorm =
        others.reduce(0) {
          $0 + sumOfSquares($1.gradient.flat, team: trainer.device.team)
        }.squareRoot()
      return result
    }
    #expect(found.gradient.relative <= Bar.layout)
    #expect(found.terms.first { $0.name == "norm" }!.relative > 1e-3)
  }

  @Test func `a router that the token loss does not reach`() throws {
    let found = try finding("expert=2", ranks: 2) { trainer, batches in
      let gates = trainer.model.parameters.parameters.filter {
        $0.name.hasSuffix("gate.weight")
      }
      // What balance and z-loss alone give it: a batch without labels.
      let silent = batches.map { micro in
        MicroBatch(micro.batch, labels: micro.labels.map { _ in -100 })
      }
      _ = trainer.gradients(silent)
      let detached = gates.map(\.gradient.elements)
      let result = trainer.gradients(batches)
      for (gate, elements) in zip(gates, detached) { gate.gradient.assign(elements) }
      return result
    }
    #expect(found.gradient.parameter.hasSuffix("gate.weight"))
    #expect(found.gradient.relative > 1e-3)
  }

  @Test func `a sum over the wrong group`() throws {
    let found = try finding("expert=2", ranks: 4) { trainer, batches in
      trainer.summed(batches) { parameters in
        let experts = parameters.parameters.filter(Self.isExpert)
        for parameter in experts { parameter.slot.zeroIfEmpty() }
        let own = experts.map(\.gradient.elements)
        parameters.reduceGradients(team: trainer.device.team)
        for (parameter, elements) in zip(experts, own) {
          parameter.gradient.assign(elements)
          // The ranks of other experts, instead of those that hold the same.
          trainer.mesh.communicator(.expert).sum(parameter.gradient.flat)
        }
      }
    }
    #expect(found.gradient.parameter.contains(".experts."))
    #expect(found.gradient.relative > 1e-2)
  }
}
