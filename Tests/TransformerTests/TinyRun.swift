// A small model with a batch of its own, on one rank or several.

import Kernels
import Parallel
import Tensors
import Training
import Transformer

/// A tiny model, its trainer and five sequences of odd length.
struct TinyRun {
  static let sequences = 5
  static let length = 13
  let model: LanguageModel
  let trainer: Trainer
  let mesh: ProcessMesh

  init(
    precision: Precision, threads: Int = 1, seed: UInt64 = 3, mesh: ProcessMesh = .single(),
    _ change: (inout ModelConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = ModelConfiguration()
    configuration.vocabulary = 37
    configuration.width = 24
    configuration.layers = 2
    configuration.heads = 4
    configuration.keyValueHeads = 2
    configuration.initialDeviation = 0.2
    configuration.router.experts = 6
    configuration.router.expertWidth = 20
    configuration.router.balanceCoefficient = 0.1
    configuration.router.zCoefficient = 0.01
    change(&configuration)
    let device = try Device(precision: precision, threads: threads)
    model = try LanguageModel(configuration, on: device, mesh: mesh, seed: seed)
    trainer = Trainer(
      model, mesh: mesh, device: device, optimizer: Optimizer(model.parameters), clip: 1)
    self.mesh = mesh
  }

  /// This rank's share of the five sequences, `microBatch` at a time; every rank gets as many.
  func microBatches(step: Int = 0, size: Int = 0) -> [MicroBatch] {
    let key = RandomKey(seed: 11, name: "tiny batch").derived(UInt64(step))
    let own = share(of: Self.sequences, part: mesh.world.rank, of: mesh.world.size)
    let largest = (Self.sequences + mesh.world.size - 1) / mesh.world.size
    let size = size == 0 ? largest : size
    let count = (largest + size - 1) / size
    return (0..<count).map { index in
      let part = own.dropFirst(index * size).prefix(size)
      func token(_ sequence: Int, _ place: Int) -> Int32 {
        Int32(uniform(key, counter: UInt64(sequence * (Self.length + 1) + place)) * 37)
      }
      return MicroBatch(
        Batch(
          tokens: part.flatMap { sequence in (0..<Self.length).map { token(sequence, $0) } },
          sequences: part.count, length: Self.length),
        labels: part.flatMap { sequence in
          (0..<Self.length).map { $0 % 5 == 4 ? -100 : token(sequence, $0 + 1) }
        })
    }
  }

  /// Every parameter's summed gradient.
  func gradients(microBatch size: Int = 0) throws -> [String: [Double]] {
    _ = trainer.gradients(microBatches(size: size))
    return Dictionary(
      uniqueKeysWithValues: model.parameters.parameters.map { ($0.name, $0.gradient.elements) })
  }

  /// Every parameter's value.
  var weights: [String: [Double]] {
    Dictionary(
      uniqueKeysWithValues: model.parameters.parameters.map { ($0.name, $0.value.elements) })
  }
}
