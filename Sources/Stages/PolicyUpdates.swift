// The updates of one iteration: epochs over its answers, minibatch by minibatch, the same whatever
// the layout.

import Kernels
import Parallel
import Tensors
import Text
import Training
import Transformer

/// What an iteration's updates showed.
struct UpdateResult {
  var step: StepResult
  /// Of each minibatch, over all ranks.
  var statistics: [UpdateStatistics]
  /// Share of tokens and expert layers whose set of experts is not that of the rollout.
  var routerShift: Double
}

/// Goes through a rollout's answers.
struct PolicyUpdates {
  let trainer: Trainer
  let settings: RolloutConfiguration
  let microBatch: Int
  /// Not the prompts' order.
  private let shuffle: ShuffledEpochs

  init(_ trainer: Trainer, _ configuration: RunConfiguration) {
    self.trainer = trainer
    settings = configuration.rollout
    microBatch = configuration.training.microBatch
    shuffle = ShuffledEpochs(
      count: configuration.training.batch, seed: ~UInt64(configuration.run.seed))
  }

  var updatesPerStep: Int { settings.epochs * settings.minibatches }

  /// The answers of an epoch in their order.
  func order(step: Int, epoch: Int) -> [Int] {
    shuffle.order(ofEpoch: step * settings.epochs + epoch)
  }

  /// A rank's part of the policy's loss for a batch, and of the statistics; `tokens` are the answers'
  /// tokens of the minibatch, over all ranks.
  typealias PolicyLoss = (
    _ pass: PolicyPass, _ batch: AnswerBatch, _ minibatch: Minibatch
  ) -> (loss: Variable, statistics: UpdateStatistics)
  /// The same of the critic's, whose values at this rank's tokens are given.
  typealias CriticLoss = (
    _ values: Variable, _ places: ArraySlice<Int>, _ minibatch: Minibatch
  ) -> (loss: Variable, statistics: UpdateStatistics)

  /// Counts over all ranks.
  struct Minibatch {
    let answers: Int
    let tokens: Int
  }

  /// What this rank's updates of an iteration showed; results are of the policy.
  private struct OwnUpdates {
    var results: [StepResult] = []
    /// Seconds of the critic's updates.
    var seconds: [(part: String, seconds: Double)] = []
    /// Of each minibatch.
    var statistics: [UpdateStatistics] = []
    var shift: ExpertShift
  }

  /// Makes all updates of an iteration; `critic` brings its rate and its loss. Every rank calls it.
  ///
  /// Where policy and critic are learnt by ranks of their own, neither waits for the other before all
  /// updates are made; an update of one that fails is told to the other then.
  func run(
    _ rollout: Rollout, step: Int, learningRate: Double,
    critic: (rate: Double, loss: CriticLoss)?, _ policyLoss: PolicyLoss
  ) throws -> UpdateResult {
    let world = trainer.mesh.world
    let made = Result {
      try updates(rollout, step: step, learningRate: learningRate, critic: critic, policyLoss)
    }
    var clock = PhaseClock(world.trace)
    // An update fails on all learners of a model alike, which then wait for the others here.
    let own = try world.agreeing { try made.get() }
    trainer.critic?.model.handOn()
    var result = trainer.handOn(own.results.isEmpty ? nil : StepResult(meanOf: own.results))
    clock.end("reduce")
    result.add(seconds: own.seconds + clock.phases)
    return UpdateResult(
      step: result, statistics: own.statistics.map { $0.summed(over: world) },
      routerShift: own.shift.share(over: world))
  }

  /// Those of the models that this rank learns.
  private func updates(
    _ rollout: Rollout, step: Int, learningRate: Double,
    critic: (rate: Double, loss: CriticLoss)?, _ policyLoss: PolicyLoss
  ) throws -> OwnUpdates {
    var made = OwnUpdates(shift: ExpertShift(rollout, model: trainer.model.configuration))
    for epoch in 0..<settings.epochs {
      for part in order(step: step, epoch: epoch).parts(settings.minibatches) {
        trainer.mesh.world.goOn()
        let rows = Array(part)
        let minibatch = Minibatch(answers: rows.count, tokens: rollout.rows.tokens(of: rows))
        let batches = rollout.rows.batches(of: rows, microBatch: microBatch, over: trainer.data)
        var own = UpdateStatistics()
        let learnt = try trainer.learners.learning {
          // The critic has routers of its own.
          let replayed = settings.routing == .replay ? batches.map(made.shift.replaying) : batches
          return try update(trainer, replayed, step: step, learningRate: learningRate) {
            output, batch in
            made.shift.add(output, batch)
            let pass = PolicyPass(trainer.model, batch, output: output)
            let (loss, added) = policyLoss(pass, batch, minibatch)
            own += added
            own.addEntropy(pass.entropy)
            return loss
          }
        }
        if let learnt { made.results.append(learnt) }
        if let critic, let second = trainer.critic {
          let learnt = try second.learners.learning {
            try update(second, batches, step: step, learningRate: critic.rate) { output, batch in
              let (loss, added) = critic.loss(
                second.model.scalars(output.hidden), batch.places[output.tokens], minibatch)
              own += added
              return loss
            }
          }
          made.seconds += learnt?.seconds ?? []
        }
        made.statistics.append(own)
      }
    }
    return made
  }

  private func update(
    _ trainer: Trainer, _ batches: [AnswerBatch], step: Int, learningRate: Double,
    _ loss: (LanguageModel.Output, AnswerBatch) -> Variable
  ) throws -> StepResult {
    try withoutActuallyEscaping(loss) { loss in
      trainer.task = { output, _, number in loss(output, batches[number]) }
      // Kept, but for calls after this one: a trainer with a task drops no token.
      defer {
        trainer.task = { _, _, _ in fatalError("a policy's trainer learns in its stage alone") }
      }
      return try trainer.step(
        batches.map(\.micro), step: step + 1, learningRate: learningRate)
    }
  }
}

/// How often the experts of updates are others than when the answers were written; 0 where they are
/// replayed.
struct ExpertShift {
  private let experts: [[Int32]]
  private let k: Int
  private var changed = 0
  private var compared = 0

  init(_ rollout: Rollout, model: ModelConfiguration) {
    experts = rollout.experts
    k = model.router.expertsPerToken
  }

  /// The batch with the rollout's choices.
  func replaying(_ batch: AnswerBatch) -> AnswerBatch {
    batch.replaying(experts, perToken: k)
  }

  /// Compares what was chosen for this rank's tokens, padding left out.
  mutating func add(_ output: LanguageModel.Output, _ batch: AnswerBatch) {
    for (layer, routing) in output.routings.enumerated() {
      let (now, then) = (routing.experts, experts[layer])
      for (token, row) in routing.rows(batch.micro.batch).enumerated() {
        let home = batch.homes[token]
        guard row >= 0 && home >= 0 else { continue }
        compared += 1
        // As many of either, and none twice.
        var found = 0
        for choice in row * k..<(row + 1) * k {
          for other in home * k..<(home + 1) * k where then[other] == now[choice] { found += 1 }
        }
        if found < k { changed += 1 }
      }
    }
  }

  func share(over world: Communicator) -> Double {
    let sums = world.sum([changed, compared])
    return Double(sums[0]) / Double(max(sums[1], 1))
  }
}

extension StepResult {
  /// Means of the losses, sums of the counts and seconds.
  init(meanOf results: [StepResult]) {
    let share = 1 / Double(results.count)
    self = results[0]
    seconds = []
    (loss, balance, z, gradientNorm) = (0, 0, 0, 0)
    for (index, result) in results.enumerated() {
      loss += share * result.loss
      balance += share * result.balance
      z += share * result.z
      gradientNorm += share * result.gradientNorm
      add(seconds: result.seconds)
      guard index > 0 else { continue }
      counts = counts + result.counts
      for layer in routers.indices {
        routers[layer].probabilities = zip(
          routers[layer].probabilities, result.routers[layer].probabilities
        ).map(+)
        routers[layer].balance += result.routers[layer].balance
        routers[layer].z += result.routers[layer].z
      }
    }
    for layer in routers.indices {
      routers[layer].balance *= share
      routers[layer].z *= share
    }
  }

  mutating func add(seconds more: [(part: String, seconds: Double)]) {
    for (part, spent) in more {
      if let known = seconds.firstIndex(where: { $0.part == part }) {
        seconds[known].seconds += spent
      } else {
        seconds.append((part, spent))
      }
    }
  }
}
