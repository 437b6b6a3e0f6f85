// One optimiser step: forward and backward over micro-batches, reduction, clipping, update.

import Kernels
import Parallel
import Tensors
import Transformer

/// Sequences of one forward pass and what each token that is asked for predicts (−100 where nothing).
public struct MicroBatch: Sendable {
  public let batch: Batch
  public let labels: [Int32]

  public init(_ batch: Batch, labels: [Int32]) {
    require(
      labels.count == batch.outputs, "\(labels.count) labels, \(batch.outputs) outputs")
    self.batch = batch
    self.labels = labels
  }

  /// The same, asking for the tokens alone whose labels are wanted; of all tokens, so far.
  public func asking(where isWanted: (_ label: Int32) -> Bool) -> MicroBatch {
    require(batch.asked == nil, "a batch that asks for some tokens already")
    var batch = batch
    let asked = labels.indices.filter { isWanted(labels[$0]) }
    batch.asked = asked
    return MicroBatch(batch, labels: asked.map { labels[$0] })
  }

  /// The same, with one row for tokens that end equal beginnings; each sequence is seen from its start.
  package func sharingBeginnings() -> MicroBatch {
    require(batch.firstKey == nil, "beginnings of sequences that begin elsewhere")
    var batch = batch
    let starts = (0..<batch.sequences).map { $0 * batch.length }
    let beginnings = Beginnings(starts.map { Array(batch.tokens[$0..<$0 + batch.length]) })
    batch.shared = SharedTokens(
      kinds: Array(beginnings.numbers.joined()), kindCount: beginnings.count)
    return MicroBatch(batch, labels: labels)
  }
}

/// A rank's part of what a step learns instead of the labels' negative log-probability: of one
/// micro-batch, by its number among those of the step, and divided by global counts already.
public typealias TaskLoss = (
  _ output: LanguageModel.Output, _ micro: MicroBatch, _ number: Int
) -> Variable

/// What a step showed, over the whole batch and all ranks.
public struct StepResult: Sendable {
  /// Mean negative log-probability of the labels, nats per token; or the task's loss.
  public var loss: Double
  public var balance: Double
  public var z: Double
  /// Norm of the summed gradient, before clipping.
  public var gradientNorm: Double
  public var counts: BatchCounts
  /// This rank's share of what its routers did, by expert layer.
  public var routers: [RouterShare]
  /// Seconds of each part of the step on this rank.
  public var seconds: [(part: String, seconds: Double)]
}

/// What one expert layer's router did with one rank's tokens.
public struct RouterShare: Sendable {
  /// Sum of each expert's probability over tokens that are not padding.
  public var probabilities: [Double]
  /// Shares of the layer's balance and z-loss.
  public var balance: Double
  public var z: Double
}

/// Runs optimiser steps of a language model on one rank of a run.
public final class Trainer {
  public let model: LanguageModel
  public let mesh: ProcessMesh
  /// The ranks that learn the model: they alone call `gradients` and `step`.
  public var learners: Learners { model.parameters.learners }
  /// Those of them that share the batch.
  public let data: Communicator
  public let device: Device
  public let optimizer: Optimizer
  /// Bound of the gradient norm; 0 is none.
  public var clip: Double
  /// What is learnt, nil for the labels. Experts then drop nothing: sequences' log-probabilities and
  /// scores are those of the whole model.
  public var task: TaskLoss?
  /// A second model with its own optimiser, saved and resumed with this one.
  public var critic: Trainer?
  /// Updates that a step of the run makes.
  public var updatesPerStep = 1
  /// Whether steps tell what the routers did where these have no losses of their own.
  public var observesRouters = true

  public init(
    _ model: LanguageModel, mesh: ProcessMesh, device: Device, optimizer: Optimizer, clip: Double
  ) {
    self.model = model
    self.mesh = mesh
    data = model.parameters.learners.mesh.communicator(.data)
    self.device = device
    self.optimizer = optimizer
    self.clip = clip
    device.background.append { [arrive = model.parameters.background, world = mesh.world] in
      arrive()
      world.progress()
    }
  }

  /// Gradients of the whole batch's objective into the parameters, summed over ranks.
  ///
  /// Every rank gives equally many micro-batches; one may hold no sequence.
  public func gradients(_ microBatches: [MicroBatch]) -> StepResult {
    summed(microBatches) { $0.reduceGradients(team: device.team) }
  }

  /// One whole step. Throws `NonFiniteError` before the update if loss or gradient is not finite.
  public func step(
    _ microBatches: [MicroBatch], step: Int, learningRate: Double
  ) throws -> StepResult {
    var result = summed(microBatches, overlapped: true) { $0.finishScatter(team: device.team) }
    if !result.loss.isFinite || !result.gradientNorm.isFinite {
      throw nonFinite(microBatches, step: step, result)
    }
    var clock = PhaseClock(mesh.world.trace)
    let scale = clip > 0 && result.gradientNorm > clip ? clip / result.gradientNorm : 1
    optimizer.update(learningRate: learningRate, gradientScale: scale, team: device.team)
    updateSelectionBiases(result.counts)
    clock.end("update")
    result.seconds += clock.phases
    return result
  }

  /// Gradients that `sum` adds over ranks, with losses and norm of the whole batch; `overlapped` sums
  /// have begun while backward ran.
  package func summed(
    _ microBatches: [MicroBatch], overlapped: Bool = false, by sum: (ParameterSet) -> Void
  ) -> StepResult {
    var clock = PhaseClock(mesh.world.trace)
    let counts = wholeCounts(microBatches, &clock)
    var result = localGradients(microBatches, counts: counts, overlapped: overlapped, &clock)
    sum(model.parameters)
    clock.end("reduce")
    let squares = model.parameters.sumOfSquaredGradients(team: device.team)
    let sums = learners.mesh.world.sum([result.loss, result.balance, result.z, squares])
    (result.loss, result.balance, result.z) = (sums[0], sums[1], sums[2])
    result.gradientNorm = sums[3].squareRoot()
    clock.end("norm")
    result.seconds = clock.phases
    return result
  }

  /// The rule of loss-free balancing, once a step.
  func updateSelectionBiases(_ counts: BatchCounts) {
    for (bias, counts) in zip(model.selectionBiases, counts.expertChoices) {
      bias.update(counts: counts, rate: model.configuration.router.biasRate)
    }
  }

  /// Counts over all micro-batches and ranks. With one micro-batch the expert choices are left to
  /// the forward pass that follows; with more, the `batch` and `pooled` balance losses need a
  /// tape-free forward over all of them first.
  private func wholeCounts(_ microBatches: [MicroBatch], _ clock: inout PhaseClock) -> BatchCounts?
  {
    guard microBatches.count != 1 else { return nil }
    let router = model.configuration.router
    let needsChoices = router.balanceCoefficient > 0 && router.balanceScope != .sequence
    var counts = noCounts
    for micro in microBatches {
      if needsChoices {
        let output = model.forward(
          micro.batch, on: Tape(device, recording: false), drops: task == nil)
        counts = counts + model.counts(output, labels: micro.labels, micro.batch)
      } else {
        counts = counts + model.counts(labels: micro.labels, micro.batch)
      }
    }
    let whole = counts.summed(over: learners.mesh.world)
    clock.end("count")
    return whole
  }

  /// Of no step.
  private var noResult: StepResult {
    let experts = model.configuration.router.experts
    return StepResult(
      loss: 0, balance: 0, z: 0, gradientNorm: 0, counts: noCounts,
      routers: model.configuration.expertLayers.map { _ in
        RouterShare(probabilities: Array(repeating: 0, count: experts), balance: 0, z: 0)
      }, seconds: [])
  }

  /// Gives all ranks what the learners have: the model, and what a step showed them, of which each rank
  /// keeps its own share of the routers. Every rank of the mesh calls it, those that do not learn
  /// without a result.
  public func handOn(_ result: StepResult?) -> StepResult {
    model.handOn()
    var result = result ?? noResult
    let numbers = learners.handOn([result.loss, result.balance, result.z, result.gradientNorm])
    (result.loss, result.balance) = (numbers[0], numbers[1])
    (result.z, result.gradientNorm) = (numbers[2], numbers[3])
    result.counts = result.counts.combined(by: learners.handOn)
    return result
  }

  private var noCounts: BatchCounts {
    BatchCounts(
      labels: 0, tokens: 0, routed: model.configuration.expertLayers.map { _ in 0 }, sequences: 0,
      expertChoices: model.configuration.expertLayers.map { _ in
        Array(repeating: 0, count: model.configuration.router.experts)
      })
  }

  /// This rank's gradients and shares of the losses; counts alone are summed over ranks, and where
  /// `overlapped` the sums of gradients start as soon as backward is through with them.
  private func localGradients(
    _ microBatches: [MicroBatch], counts given: BatchCounts?, overlapped: Bool = false,
    _ clock: inout PhaseClock
  ) -> StepResult {
    let parameters = model.parameters
    parameters.clearGradients()
    var result = noResult
    if let given { result.counts = given }
    var seen = noCounts
    // Losses of labels and of routers are divided by counts.
    let isObserved =
      task == nil || observesRouters || model.configuration.router.learnsFromEveryToken
    for (index, micro) in microBatches.enumerated() {
      let tape = Tape(device)
      // Only the last micro-batch completes a gradient.
      let completes = overlapped && index == microBatches.count - 1
      let output = model.forward(
        micro.batch, on: tape, drops: task == nil,
        onBackward: completes
          ? { [team = device.team] in parameters.startScatter(beyond: $0, team: team) } : nil)
      clock.end("forward")
      var counts: BatchCounts?
      if isObserved {
        let own = model.counts(output, labels: micro.labels, micro.batch)
        seen = seen + own
        counts = given ?? own.summed(over: learners.mesh.world)
      }
      clock.end("count")
      let objective =
        if let task {
          model.objective(output, task: task(output, micro, index), micro.batch, counts: counts)
        } else {
          model.objective(output, labels: micro.labels, micro.batch, counts: counts!)
        }
      result.loss += objective.taskLoss
      if let counts {
        result.counts = counts
        result.add(objective)
      }
      clock.end("forward")
      tape.backward(from: [objective.total])
      clock.end("backward")
    }
    // What was dispatched, whether or not the losses needed it beforehand.
    if given != nil && isObserved {
      result.counts.expertChoices = seen.summed(over: learners.mesh.world).expertChoices
      let router = model.configuration.router
      if router.balanceCoefficient == 0 && router.balanceScope != .sequence {
        result.take(balance: model.balance(of: result.routers.map(\.probabilities), result.counts))
      }
    }
    return result
  }

  /// Runs the step once more without reduction, to find where the first bad number arose.
  private func nonFinite(
    _ microBatches: [MicroBatch], step: Int, _ result: StepResult
  ) -> NonFiniteError {
    var clock = PhaseClock()
    let own = localGradients(
      microBatches, counts: wholeCounts(microBatches, &clock), &clock)
    return NonFiniteError(
      step: step, what: result.loss.isFinite ? .gradient : .loss, ownLoss: own.loss,
      in: model.parameters, mesh: learners.mesh, team: device.team)
  }
}

extension StepResult {
  /// Takes shares of a balance loss by expert layer, of which the loss is the sum.
  fileprivate mutating func take(balance shares: [Double]) {
    balance = shares.reduce(0, +)
    for layer in routers.indices { routers[layer].balance = Double(shares.count) * shares[layer] }
  }

  /// Adds what the routers did with a micro-batch.
  fileprivate mutating func add(_ objective: Objective) {
    balance += objective.balance
    z += objective.z
    for (layer, sums) in objective.probabilitySums.enumerated() {
      routers[layer].probabilities = zip(routers[layer].probabilities, sums).map(+)
      routers[layer].balance += objective.layerBalance[layer]
      routers[layer].z += objective.layerZ[layer]
    }
  }
}
