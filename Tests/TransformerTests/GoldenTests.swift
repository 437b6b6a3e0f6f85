// The model against transformers: logits, losses, hidden states, routers, every gradient.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct GoldenTests {
  @Test(arguments: GoldenCase.all, Precision.allCases)
  func `every value and gradient is transformers' own`(
    golden: GoldenCase, precision: Precision
  ) throws {
    let loaded = try Loaded(golden.folder, precision: precision)
    let output = temporaryPath("dump.safetensors")
    defer { try? FileManager.default.removeItem(atPath: output) }
    try loaded.model.dump(loaded.batch, naming: loaded.folder.naming, to: output)
    let ours = try TensorSource(file: output)
    let theirs = try golden.golden
    let mask = loaded.batch.micro.batch.mask
    var compared = 0
    for tensor in theirs.tensors
    where tensor.type.isFloat && !tensor.name.hasPrefix("adamw.")
      && !tensor.name.hasPrefix("f64.")
    {
      var expected = try theirs.doubles(tensor.name)
      var found = try ours.doubles(tensor.name)
      #expect(ours.description(of: tensor.name)?.shape == tensor.shape, "\(tensor.name)")
      if let mask, !tensor.name.hasPrefix("grad."), tensor.count > 1 {
        expected = real(expected, mask)
        found = real(found, mask)
      }
      let error = relativeError(found, expected)
      #expect(error <= Bar.otherLibrary, "\(tensor.name): \(error)")
      compared += 1
    }
    #expect(compared > 10)
    if precision == .float64 {
      for name in ["loss", "aux_loss", "total_loss"]
      where theirs.description(of: "f64.\(name)") != nil {
        let error = relativeError(try ours.doubles(name), try theirs.doubles("f64.\(name)"))
        #expect(error <= Bar.float64Loss, "\(name): \(error)")
      }
    }
  }

  @Test(arguments: GoldenCase.all)
  func `both styles of config.json mean the same model`(golden: GoldenCase) throws {
    let newer = try FamilyConfiguration(file: "\(golden.folder)/config.json")
    let older = "\(golden.folder)/config.v4.json"
    try #require(FileManager.default.fileExists(atPath: older))
    #expect(try FamilyConfiguration(file: older).model == newer.model)
  }

  @Test(arguments: GoldenCase.all)
  func `six AdamW steps lose as torch's do`(golden: GoldenCase) throws {
    let theirs = try golden.golden
    guard theirs.description(of: "adamw.total_loss") != nil else { return }
    let loaded = try Loaded(golden.folder, precision: .float32)
    let trainer = Trainer(
      loaded.model, mesh: .single(), device: loaded.device,
      optimizer: Optimizer(
        loaded.model.parameters, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1,
        decayed: .all), clip: 1)
    let coefficient = loaded.folder.configuration.model.router.balanceCoefficient
    var losses: [Double] = []
    var norms: [Double] = []
    for step in 1...6 {
      let result = try trainer.step([loaded.batch.micro], step: step, learningRate: 1e-3)
      losses.append(result.loss + coefficient * result.balance)
      norms.append(result.gradientNorm)
    }
    let last = trainer.gradients([loaded.batch.micro])
    losses.append(last.loss + coefficient * last.balance)
    #expect(relativeError(losses, try theirs.doubles("adamw.total_loss")) <= Bar.trajectory)
    #expect(relativeError(norms, try theirs.doubles("adamw.grad_norm")) <= Bar.trajectory)
  }

  private func real(_ values: [Double], _ mask: [Bool]) -> [Double] {
    let width = values.count / mask.count
    return mask.indices.filter { mask[$0] }.flatMap { values[$0 * width..<($0 + 1) * width] }
  }
}

/// A golden case's model and batch, ready to run.
struct Loaded {
  let folder: ModelFolder
  let device: Device
  let model: LanguageModel
  let batch: DumpBatch

  init(_ path: String, precision: Precision, threads: Int = 1) throws {
    folder = try ModelFolder(path)
    device = Device(precision: precision, threads: threads)
    model = try LanguageModel(
      folder.configuration.model, on: device, mesh: .single(), seed: 0)
    try folder.load(into: model)
    batch = try DumpBatch(
      file: "\(path)/golden.safetensors", vocabulary: folder.configuration.model.vocabulary)
  }
}

/// A path in the temporary folder that no other test uses.
func temporaryPath(_ name: String) -> String {
  FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString)-\(name)").path
}
