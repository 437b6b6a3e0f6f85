// `apus benchmark --generate`: how fast a model of random weights continues prompts.

import Foundation
import Kernels
import Parallel
import Training
import Transformer

/// Random prompts of one length, each continued by the same number of sampled tokens.
struct SamplingBenchmark {
  var sequences: Int
  var promptTokens: Int
  var newTokens: Int
  var warmup: Int
  var runs: Int

  /// The median over runs, and the fastest of them; counts new tokens only, though their time includes the prompts'. Every
  /// rank takes its share of the sequences.
  func report(_ model: LanguageModel, threads: Int, on world: Communicator) -> JSONObject {
    let key = RandomKey(seed: 1, name: "benchmark prompts")
    let prompts = (0..<sequences).map { sequence in
      (0..<promptTokens).map { place in
        Int32(
          uniformInteger(
            key.derived(UInt64(sequence)), counter: UInt64(place),
            below: model.configuration.vocabulary))
      }
    }
    var options = SamplingOptions()
    options.maximumNewTokens = newTokens
    var times: [Double] = []
    // One session: weights are laid out for decoding before the clock runs, as they are loaded before.
    model.readyToGenerate(sharing: sequences, newTokens: (warmup + runs) * newTokens) {
      for run in 0..<(warmup + runs) {
        options.seed = UInt64(run)
        world.barrier()
        let start = ContinuousClock.now
        _ = model.generate(sharing: prompts, options)
        world.barrier()
        if run >= warmup { times.append((ContinuousClock.now - start) / .seconds(1)) }
      }
    }
    let median = times.sorted()[times.count / 2]
    let tokens = Double(sequences * newTokens)
    let memory = world.maximum([Double(ResidentMemory.peak)])[0]
    return JSONObject([
      ("tokens_per_second", .number(tokens / median)),
      ("fastest_tokens_per_second", .number(tokens / times.min()!)),
      ("milliseconds", .number(median * 1e3)),
      ("milliseconds_per_token", .number(median * 1e3 / Double(newTokens))),
      ("sequences", .integer(Int64(sequences))), ("prompt_tokens", .integer(Int64(promptTokens))),
      ("new_tokens", .integer(Int64(newTokens))), ("peak_megabytes", .number(memory / 1e6)),
      ("ranks", .integer(Int64(world.size))), ("threads", .integer(Int64(threads))),
      ("kernel", .string(productKernelName)),
    ])
  }
}
