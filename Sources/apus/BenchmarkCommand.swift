// `apus benchmark`: the speed and memory of training steps on one fixed batch, or of sampling, as
// peers measure it.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Tensors
import Training
import Transformer

struct BenchmarkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark",
    abstract: "Times forward, backward and AdamW on one fixed batch of random tokens.",
    discussion: """
      Under mpirun every rank takes its share of the batch, as in training. Operations are 6 x active \
      parameters x tokens + 6 x batch x length² x heads x head width x layers. With --generate it \
      continues random prompts instead, and counts new tokens alone.
      """)

  @Argument(help: "Configuration; its vocabulary must be given, no corpus is read.")
  var config: String
  @Option(help: "A setting as path=value; may be repeated.")
  var set: [String] = []
  @Option(help: "Timed steps.")
  var steps = 10
  @Option(help: "Steps before the timed ones.")
  var warmup = 3
  @Option(help: "Sample continuations of this many prompts at once instead of training.")
  var generate: Int?
  @Option(help: "Tokens of each prompt of --generate.")
  var promptTokens = 16
  @Option(help: "Sampled tokens of each prompt of --generate.")
  var newTokens = 64
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func validate() throws {
    guard steps >= 1, warmup >= 0 else {
      throw ValidationError("--steps takes 1 or more, --warmup 0 or more")
    }
    let most = DataConfiguration.longestSequence
    for (name, value) in [
      ("generate", generate ?? 1), ("prompt-tokens", promptTokens), ("new-tokens", newTokens),
    ] where !(1...most).contains(value) {
      throw ValidationError("--\(name) is \(value); accepted: 1 to \(most)")
    }
  }

  func run() throws {
    try ranks.run { world in try measure(on: world) }
  }

  private func measure(on world: Communicator) throws {
    let (configuration, layout) = try world.agreeing {
      let configuration = try RunConfiguration.load(
        file: config, settings: set, layout: self.layout, ranks: world.size)
      let layout = try configuration.resolvedLayout(ranks: world.size)
      try configuration.model.validate()
      try configuration.model.validate(layout)
      try configuration.validate(layout)
      try configuration.model.checkFits(
        held: 2, dealt: 2, precision: configuration.run.precision, layout: layout,
        copies: RankOptions.onThisMachine(inProcess: ranks.ranksInProcess))
      return (configuration, layout)
    }
    let watchdog = try RankStart(
      command: "benchmark", fields: [("configuration", configuration.canonicalText)],
      folder: configuration.run.folder, watchdogSeconds: configuration.run.watchdogSeconds
    ).begin(on: world)
    defer { withExtendedLifetime(watchdog) {} }
    let threads = RankOptions.threads(
      configuration.run.threads, inProcess: ranks.ranksInProcess)
    let device = try world.agreeing {
      try Device(precision: configuration.run.precision, threads: threads)
    }
    let mesh = ProcessMesh(world, layout: layout)
    let model = try LanguageModel(
      configuration.model, on: device, mesh: mesh, seed: 1,
      dispatch: configuration.layout.dispatch)
    try model.parameters.checkWiring(over: world)
    if let generate {
      return measureSampling(generate, of: model, threads: threads, on: world)
    }
    model.recomputesBlocks = configuration.training.recompute == .block
    let settings = configuration.optimizer
    let trainer = Trainer(
      model, mesh: mesh, device: device,
      optimizer: Optimizer(
        model.parameters, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
        weightDecay: settings.weightDecay, decayed: settings.decay), clip: settings.clip)
    let peak = ProductPeak(device: device, world: world)
    let length = configuration.data.sequenceLength
    let sequences = configuration.training.batch
    let batch = RandomBatches(configuration, seed: 1).microBatches(step: 0, over: trainer.data)
    var times: [Double] = []
    var last: StepResult?
    var phases: [(part: String, seconds: Double)] = []
    for step in 1...(warmup + steps) {
      world.barrier()
      let start = ContinuousClock.now
      last = try trainer.step(batch, step: step, learningRate: settings.learningRate)
      world.barrier()
      let took = (ContinuousClock.now - start) / .seconds(1)
      guard step > warmup else { continue }
      times.append(took)
      for (part, seconds) in last!.seconds {
        if let known = phases.firstIndex(where: { $0.part == part }) {
          phases[known].seconds += seconds
        } else {
          phases.append((part, seconds))
        }
      }
    }
    let median = times.sorted()[times.count / 2]
    let operations = configuration.model.trainingOperations(sequences: sequences, length: length)
    let memory = world.maximum([Double(ResidentMemory.peak)])[0]
    // Weights, gradients and moments of the rank that holds most.
    let elements = model.parameters.groups.reduce(0) { $0 + $1.values.count + $1.gradients.count }
    let state = world.maximum(
      (elements + 2 * model.parameters.ownCount) * configuration.run.precision.bytes)
    guard world.rank == 0 else { return }
    let rate = operations / median
    let report = JSONObject([
      ("tokens_per_second", .number(Double(sequences * length) / median)),
      ("gflops", .number(rate / 1e9)), ("product_gflops", .number(peak.operationsPerSecond / 1e9)),
      ("share_of_peak", .number(rate / peak.operationsPerSecond)),
      ("milliseconds", .number(median * 1e3)), ("peak_megabytes", .number(memory / 1e6)),
      ("state_megabytes", .number(Double(state) / 1e6)),
      ("ranks", .integer(Int64(world.size))), ("threads", .integer(Int64(threads))),
      ("kernel", .string(productKernelName)), ("loss", .number(last!.loss)),
    ])
    if json {
      say(JSON.object(report).compact)
      return
    }
    if let warning = productKernelWarning { say("warning: \(warning)") }
    say(
      "\(Figure.fixed(Double(sequences * length) / median, 0)) tokens/s, "
        + "\(Figure.fixed(rate / 1e9, 1)) GFLOP/s of \(Figure.fixed(peak.operationsPerSecond / 1e9, 0)) "
        + "(\(Figure.percent(rate / peak.operationsPerSecond))), \(Figure.fixed(median * 1e3, 1)) ms a "
        + "step (median of \(steps)), peak memory \(Figure.fixed(memory / 1e6, 0)) MB a rank "
        + "(activations \(Figure.bytes(device.activationHighWater)))")
    say(
      "parts, ms: "
        + phases.map { "\($0.part) \(Figure.fixed($0.seconds / Double(steps) * 1e3, 1))" }
        .joined(separator: ", "))
  }

  private func measureSampling(
    _ sequences: Int, of model: LanguageModel, threads: Int, on world: Communicator
  ) {
    let report = SamplingBenchmark(
      sequences: sequences, promptTokens: promptTokens, newTokens: newTokens, warmup: warmup,
      runs: steps
    ).report(model, threads: threads, on: world)
    guard world.rank == 0 else { return }
    if json {
      say(JSON.object(report).compact)
      return
    }
    if let warning = productKernelWarning { say("warning: \(warning)") }
    func number(_ field: String) -> Double { report[field]?.asNumber ?? .nan }
    say(
      "\(Figure.fixed(number("tokens_per_second"), 0)) new tokens/s: \(newTokens) after "
        + "\(promptTokens) of each of \(sequences), "
        + "\(Figure.fixed(number("milliseconds_per_token"), 3)) ms a token of all "
        + "(median of \(steps)), peak memory "
        + "\(Figure.fixed(number("peak_megabytes"), 0)) MB a rank")
  }
}
