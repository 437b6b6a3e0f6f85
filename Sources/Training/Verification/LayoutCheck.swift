// The proof that a layout changes nothing: a model's numbers under it against those of one rank.

import Foundation
import Kernels
import Parallel
import Tensors
import Transformer

/// What a run computes on its first batches: the same for every layout, up to rounding.
public struct LayoutMeasure: Sendable {
  /// Loss, balance, z and gradient norm of the first batch.
  let terms: [Double]
  /// Of each parameter in the order of declaration, this rank's slice: first values, gradients of the
  /// first batch, and values after the steps.
  let initial: [[Double]]
  let gradients: [[Double]]
  let trained: [[Double]]
}

/// How far a layout's numbers are from one rank's, as the largest relative error over all ranks.
public struct LayoutFinding: Sendable {
  public struct Worst: Sendable {
    public var relative: Double
    public var parameter: String
  }

  public let layout: Layout
  public let dispatch: ExpertDispatch
  public let precision: Precision
  /// Parameters whose first values are not the same bits.
  public let unequal: [String]
  /// Relative errors of loss, balance, z and gradient norm.
  public let terms: [(name: String, relative: Double)]
  public let gradient: Worst
  /// After the steps of gradient descent.
  public let weights: Worst

  /// The largest relative error of all.
  public var largest: Double {
    (terms.map(\.relative) + [gradient.relative, weights.relative])
      .max { $0.isNaN ? false : $1.isNaN || $0 < $1 }!
  }

  /// Whether first values are equal bit for bit and, in float64, all else within `bar`: what float32
  /// differs by says what rounding does.
  public func passes(bar: Double) -> Bool {
    unequal.isEmpty && (precision == .float32 || largest <= bar)
  }
}

/// Compares layouts of one configuration, whose vocabulary is known.
///
/// Left out: which layouts, and what becomes of the findings.
public struct LayoutCheck: Sendable {
  /// Steps of plain gradient descent: unlike Adam it does not hide a gradient's scale.
  public static let steps = 3
  static let learningRate = 0.1
  public let configuration: RunConfiguration
  /// Whether batches ask for the outputs of some tokens only.
  private let asksForSome: Bool

  public init(_ configuration: RunConfiguration, asksForSome: Bool = false) {
    self.configuration = configuration
    self.asksForSome = asksForSome
  }

  /// Every layout of these numbers of ranks that model and batch can be split in. Throws `LayoutError`
  /// where there is none.
  public func layouts(ranks: ClosedRange<Int>) throws -> [Layout] {
    let all = ranks.flatMap { Layout.all(ranks: $0).filter(configuration.allows) }
    guard all.isEmpty else { return all }
    let wanted =
      ranks.count == 1 ? "\(ranks.lowerBound)" : "\(ranks.lowerBound) to \(ranks.upperBound)"
    let others = (1...ranks.upperBound + 16).filter { count in
      Layout.all(ranks: count).contains(where: configuration.allows)
    }
    throw LayoutError(
      text: "model and batch have no legal layout of \(wanted) ranks; accepted: "
        + others.map(String.init).joined(separator: ", "))
  }

  /// Throws `MemoryError` if this machine has no room for `copies` ranks of the layout: weights,
  /// gradients, moments, and the three lists of float64 that are compared.
  public func checkFits(
    _ layout: Layout, copies: Int, memory: MachineMemory = .available
  ) throws {
    try configuration.model.checkFits(
      held: 2 + 3, dealt: 2, precision: .float64, layout: layout, copies: copies, memory: memory)
  }

  /// One rank's numbers.
  public func reference(_ precision: Precision) throws -> LayoutMeasure {
    let trainer = try trainer(on: .single(), precision: precision, dispatch: .exchange)
    return measure(trainer, gradients: trainer.gradients)
  }

  private func trainer(
    on mesh: ProcessMesh, precision: Precision, dispatch: ExpertDispatch
  ) throws -> Trainer {
    let device = try Device(precision: precision, threads: 1)
    let model = try LanguageModel(
      configuration.model, on: device, mesh: mesh, seed: UInt64(configuration.run.seed),
      dispatch: dispatch, leastBucketElements: 1)
    try model.parameters.checkWiring(over: mesh.world)
    model.recomputesBlocks = configuration.training.recompute == .block
    return Trainer(
      model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: 0)
  }

  /// This rank's part of the numbers under the trainer's layout, where `gradients` computes those of
  /// a batch.
  private func measure(
    _ trainer: Trainer, gradients: ([MicroBatch]) -> StepResult
  ) -> LayoutMeasure {
    let parameters = trainer.model.parameters.parameters
    let batches = RandomBatches(
      configuration, seed: UInt64(configuration.run.seed), asksForSome: asksForSome)
    let initial = parameters.map(\.value.elements)
    var first: (terms: [Double], gradients: [[Double]])?
    for step in 0..<Self.steps {
      let batch = batches.microBatches(step: step, over: trainer.data)
      // Whole gradients at first, to be compared; then as training sums them: while backward runs.
      let result =
        first == nil
        ? gradients(batch)
        : trainer.summed(batch, overlapped: true) {
          $0.finishScatter(team: trainer.device.team)
        }
      if first == nil {
        first = (
          [result.loss, result.balance, result.z, result.gradientNorm],
          parameters.map(\.gradient.elements)
        )
      }
      // By shares, as a training step updates.
      trainer.model.parameters.descend(
        learningRate: Self.learningRate, team: trainer.device.team)
      trainer.updateSelectionBiases(result.counts)
    }
    return LayoutMeasure(
      terms: first!.terms, initial: initial, gradients: first!.gradients,
      trained: parameters.map(\.value.elements))
  }

  /// How far `layout` on the ranks of `world` is from one rank. Every rank calls it alike and gets
  /// the same finding; `reference` is whole.
  public func finding(
    _ layout: Layout, dispatch: ExpertDispatch, precision: Precision, reference: LayoutMeasure,
    on world: Communicator
  ) throws -> LayoutFinding {
    let trainer = try trainer(
      on: ProcessMesh(world, layout: layout), precision: precision, dispatch: dispatch)
    return compare(
      trainer, with: reference, dispatch: dispatch, gradients: trainer.gradients)
  }

  package func compare(
    _ trainer: Trainer, with reference: LayoutMeasure, dispatch: ExpertDispatch,
    gradients: ([MicroBatch]) -> StepResult
  ) -> LayoutFinding {
    let parameters = trainer.model.parameters.parameters
    let own = measure(trainer, gradients: gradients)
    // The largest differences on this rank's slices: of first values, gradients, trained values.
    var differences: [Double] = []
    for (index, parameter) in parameters.enumerated() {
      for (mine, whole) in [
        (own.initial, reference.initial), (own.gradients, reference.gradients),
        (own.trained, reference.trained),
      ] {
        differences.append(
          largestDifference(mine[index], whole[index].part(parameter.slice, of: parameter.shape)))
      }
    }
    differences += zip(own.terms, reference.terms).map { abs($0 - $1) }
    let largest = trainer.mesh.world.maximum(differences)
    func difference(_ kind: Int) -> [Double] {
      parameters.indices.map { largest[3 * $0 + kind] }
    }
    func worst(_ kind: Int, _ whole: [[Double]]) -> LayoutFinding.Worst {
      let sizes = whole.map { $0.reduce(0) { max($0, abs($1)) } }
      let floor = 1e-6 * (sizes.max() ?? 0)
      let errors = zip(difference(kind), sizes).map { $0 / max($1, floor, .leastNormalMagnitude) }
      let place = errors.indices.max { errors[$0] < errors[$1] || errors[$1].isNaN }!
      return LayoutFinding.Worst(relative: errors[place], parameter: parameters[place].name)
    }
    let terms = zip(["loss", "balance", "z", "norm"], reference.terms).enumerated().map {
      let (name, term) = $1
      return (name, largest[3 * parameters.count + $0] / max(abs(term), 1e-300))
    }
    return LayoutFinding(
      layout: trainer.mesh.layout, dispatch: dispatch, precision: trainer.device.precision,
      unequal: zip(parameters, difference(0)).filter { $1 != 0 }.map(\.0.name), terms: terms,
      gradient: worst(1, reference.gradients), weights: worst(2, reference.trained))
  }

  private func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
    require(a.count == b.count, "\(a.count) elements against \(b.count)")
    return zip(a, b).reduce(0) { largest, pair in
      let difference = abs(pair.0 - pair.1)
      return difference.isNaN || difference > largest ? difference : largest
    }
  }
}

extension [Double] {
  /// The elements of a row-major array of this shape that lie in `slice`.
  func part(_ slice: [Range<Int>], of shape: [Int]) -> [Double] {
    let part = SlicePart(of: shape, slice: slice)
    var elements: [Double] = []
    part.forEachRun(0..<part.count) { _, whole, count in elements += self[whole..<whole + count] }
    return elements
  }
}

extension RunConfiguration {
  /// The same options in sizes that are fast to prove: layers of each kind, heads, experts, choices
  /// and accumulation stay.
  public var shrunk: RunConfiguration {
    var small = self
    small.model.headWidth = min(model.resolvedHeadWidth, 8)
    small.model.width = min(model.width, 48)
    small.model.denseLayers = model.denseLayers.isEmpty ? [] : [0]
    small.model.layers = min(model.layers, 2)
    small.model.denseWidth = min(model.denseWidth, 40)
    // 0 is a tokenizer's, which has more.
    small.model.vocabulary = model.vocabulary == 0 ? 101 : min(model.vocabulary, 101)
    small.model.paddingToken = min(model.paddingToken, small.model.vocabulary - 1)
    small.model.router.expertWidth = min(model.router.expertWidth, 24)
    small.data.sequenceLength = min(data.sequenceLength, 19)
    let accumulates = training.microBatch > 0 && training.microBatch < training.batch
    small.training.batch = min(training.batch, 8)
    small.training.microBatch = accumulates ? 1 : 0
    return small
  }
}
