// The models beside a policy that learns from its own answers: reference, reward model, critic.

import Parallel
import Text
import Training
import Transformer

/// Checkpoints that a policy's stage reads beside the one it starts from, checked against it.
struct PolicyModels {
  let configuration: RunConfiguration
  /// What the policy begins with.
  let start: StartCheckpoint
  let reference: StartCheckpoint
  /// nil where a task's rule gives the rewards.
  let reward: StartCheckpoint?
  /// nil without a critic.
  let critic: StartCheckpoint?

  /// Opens them. Throws `FileError` for a model of another vocabulary, or a reward model without a
  /// head.
  init(_ configuration: RunConfiguration, tokenizer: Tokenizer) throws {
    self.configuration = configuration
    let start = configuration.data.start
    func open(_ path: String, _ field: String) throws -> StartCheckpoint {
      let checkpoint = try StartCheckpoint(path: path.isEmpty ? start : path)
      let size = checkpoint.configuration.model.vocabulary
      guard size >= tokenizer.vocabularySize else {
        throw FileError(
          checkpoint.folder.path,
          "\(field) has a vocabulary of \(size); accepted: \(tokenizer.vocabularySize) or more, the "
            + "policy's tokens")
      }
      guard let own = try checkpoint.tokenizer() else { return checkpoint }
      guard own.fingerprint == tokenizer.fingerprint else {
        throw FileError(
          checkpoint.folder.path,
          "\(field) has another vocabulary (tokenizer \(own.fingerprint), the policy's is "
            + "\(tokenizer.fingerprint)); accepted: a model with the tokenizer of data.start")
      }
      return checkpoint
    }
    self.start = try StartCheckpoint(path: start)
    reference = try open(configuration.rollout.reference, "rollout.reference")
    reward =
      configuration.rollout.reward == .model
      ? try open(configuration.rollout.rewardModel, "rollout.rewardModel") : nil
    if let reward, reward.configuration.model.scalarHead == .none {
      throw FileError(
        reward.folder.path,
        "rollout.rewardModel has no scalar head; accepted: a checkpoint of apus reward")
    }
    let wide = reference.configuration.model.vocabulary
    let own = try configuration.vocabulary(for: tokenizer)
    guard wide == own else {
      throw FileError(
        reference.folder.path,
        "rollout.reference has a vocabulary of \(wide); accepted: the policy's, \(own)")
    }
    critic =
      configuration.run.stage == .ppo ? try open(configuration.ppo.critic, "ppo.critic") : nil
  }

  /// Each by the setting that names it; a path that is empty is data.start's.
  var sources: [RunSource] {
    let models: [(String, StartCheckpoint?)] = [
      ("data.start", start), ("rollout.reference", reference), ("rollout.rewardModel", reward),
      ("ppo.critic", critic),
    ]
    return models.map { RunSource($0, $1?.fingerprint ?? "none") }
  }

  /// Of all weights.
  var fingerprint: String { sources.map(\.fingerprint).joined(separator: " ") }

  /// How many models learn side by side: the policy, and a critic that takes about as long. Of models of
  /// other sizes one part of the ranks would wait for the other.
  var modelsLearnt: Int {
    guard let critic else { return 1 }
    let sizes = [start, critic].map { $0.configuration.model.activeParameters }
    return 4 * sizes.max()! <= 5 * sizes.min()! ? 2 : 1
  }

  /// A model that does not learn, on the policy's ranks.
  func frozen(_ checkpoint: StartCheckpoint, beside trainer: Trainer) throws -> LanguageModel {
    try model(checkpoint, checkpoint.configuration.model, beside: trainer)
  }

  /// The critic with an optimiser of its own; a head that its checkpoint lacks begins at 0.
  func critic(beside trainer: Trainer) throws -> Trainer? {
    guard let critic else { return nil }
    var sizes = critic.configuration.model
    if sizes.scalarHead == .none { sizes.scalarHead = .zero }
    sizes.router.balanceCoefficient = configuration.model.router.balanceCoefficient
    sizes.router.zCoefficient = configuration.model.router.zCoefficient
    let model = try model(critic, sizes, beside: trainer, learners: trainer.learners.beside)
    try model.parameters.checkWiring(over: trainer.mesh.world)
    model.recomputesBlocks = trainer.model.recomputesBlocks
    let settings = configuration.optimizer
    let learner = Trainer(
      model, mesh: trainer.mesh, device: trainer.device,
      optimizer: Optimizer(
        model.parameters, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
        weightDecay: settings.weightDecay, decayed: settings.decay), clip: settings.clip)
    // Only the policy's routers are reported.
    learner.observesRouters = false
    return learner
  }

  private func model(
    _ checkpoint: StartCheckpoint, _ sizes: ModelConfiguration, beside trainer: Trainer,
    learners: Learners? = nil
  ) throws -> LanguageModel {
    try trainer.mesh.world.agreeing {
      try sizes.validate()
      try sizes.validate(trainer.mesh.layout)
    }
    let model = try LanguageModel(
      sizes, on: trainer.device, mesh: trainer.mesh, seed: UInt64(configuration.run.seed),
      learners: learners, dispatch: configuration.layout.dispatch)
    try checkpoint.load(into: model, over: trainer.mesh.world)
    return model
  }
}
