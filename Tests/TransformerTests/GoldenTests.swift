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
    try loaded.model.dump(
      loaded.batch, naming: loaded.folder.naming, to: output, over: .single())
    let ours = try TensorSource(file: output)
    let theirs = try golden.golden
    try golden.expectEqual(ours, mask: loaded.batch.micro.batch.mask)
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

  /// Layouts of 2, 4 and 8 ranks, as in the table of what a layout must show.
  static let layouts: [(text: String, ranks: Int)] = [
    ("tensor=2", 2), ("expert=2", 2), ("tensor=2,expert=2", 4), ("tensor=2,expert=4", 8),
  ]

  @Test(arguments: GoldenCase.all, layouts)
  func `a layout changes no value and no gradient`(
    golden: GoldenCase, layout: (text: String, ranks: Int)
  ) throws {
    let output = temporaryPath("dump.safetensors")
    defer { try? FileManager.default.removeItem(atPath: output) }
    let folder = golden.folder
    guard try golden.canBeSplit(layout) else { return }
    let mask = try InProcessRanks.run(layout.ranks) { world in
      let mesh = ProcessMesh(world, layout: try Layout(layout.text, ranks: world.size))
      let loaded = try Loaded(folder, precision: .float64, mesh: mesh)
      try loaded.model.dump(
        loaded.batch, naming: loaded.folder.naming, to: output, over: mesh)
      return loaded.batch.micro.batch.mask
    }[0]
    try golden.expectEqual(try TensorSource(file: output), mask: mask)
  }

  /// Files `CASE.LAYOUT.safetensors` that `apus dump` wrote into the folder that `APUS_DUMPS` names:
  /// `launch/proofs/layout-goldens.sh` makes them under mpirun.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["APUS_DUMPS"] != nil))
  func `what apus dump wrote elsewhere is transformers' own`() throws {
    let dumps = ProcessInfo.processInfo.environment["APUS_DUMPS"]!
    for golden in GoldenCase.all {
      let name = URL(fileURLWithPath: golden.folder).lastPathComponent
      let batch = try Loaded(golden.folder, precision: .float64).batch
      for layout in Self.layouts where try golden.canBeSplit(layout) {
        let ours = try TensorSource(file: "\(dumps)/\(name).\(layout.text).safetensors")
        try golden.expectEqual(ours, mask: batch.micro.batch.mask)
      }
    }
  }
}

extension GoldenCase {
  /// Whether the model's experts and heads can be dealt so; otherwise it is refused by name.
  func canBeSplit(_ layout: (text: String, ranks: Int)) throws -> Bool {
    let model = try ModelFolder(folder).configuration.model
    do {
      try model.validate(try Layout(layout.text, ranks: layout.ranks))
      return true
    } catch let refusal as ModelConfigurationError {
      #expect(refusal.field.hasPrefix("layout."))
      return false
    }
  }

  /// Expects of every tensor that the golden file has the same in `ours`.
  func expectEqual(_ ours: TensorSource, mask: [Bool]?) throws {
    let theirs = try golden
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

  init(
    _ path: String, precision: Precision, threads: Int = 1, mesh: ProcessMesh = .single()
  ) throws {
    folder = try ModelFolder(path)
    device = try Device(precision: precision, threads: threads)
    model = try LanguageModel(folder.configuration.model, on: device, mesh: mesh, seed: 0)
    try folder.load(into: model)
    batch = try DumpBatch(
      file: "\(path)/golden.safetensors", vocabulary: folder.configuration.model.vocabulary)
  }
}

/// A path in the temporary folder that no other test uses.
func temporaryPath(_ name: String) -> String {
  FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString)-\(name)").path
}
