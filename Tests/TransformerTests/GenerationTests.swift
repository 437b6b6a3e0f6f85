// Generation: with the cache it is the full forward pass, and trained weights write their story.

import Foundation
import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct GenerationTests {
  /// Full logits of the last position, without a cache.
  private func logits(_ model: LanguageModel, _ tokens: [Int32], _ device: Device) -> [Double] {
    let tape = Tape(device, recording: false)
    let output = model.forward(Batch(tokens: tokens, sequences: 1), on: tape)
    return model.logits(output.hidden, tokens: tokens.count).value.slices(
      tokens.count - 1, count: 1
    ).elements
  }

  @Test(arguments: Precision.allCases)
  func `log-probabilities with a cache are those of the full pass`(precision: Precision) throws {
    let device = try Device(precision: precision, threads: 1)
    let run = try TinyRun(precision: precision)
    var options = SamplingOptions()
    options.maximumNewTokens = 12
    options.seed = 5
    let prompts: [[Int32]] = [[1, 2, 3, 4, 5], [7], [30, 2, 9]]
    let continuations = run.model.generate(prompts, options)
    // Float32 sums of other lengths; float64 proves that nothing else differs.
    let bar = precision == .float32 ? 2e-6 : 1e-13
    for (prompt, continuation) in zip(prompts, continuations) {
      #expect(continuation.tokens.count == 12)
      for place in continuation.tokens.indices {
        let row = logits(run.model, prompt + continuation.tokens.prefix(place), device)
        let highest = row.max()!
        let total = row.reduce(0) { $0 + exp($1 - highest) }
        let expected = row[Int(continuation.tokens[place])] - highest - log(total)
        let found = continuation.logProbabilities[place]
        #expect(abs(found - expected) <= bar * max(1, abs(expected)))
      }
    }
  }

  @Test func `a sample does not depend on its batch`() throws {
    let run = try TinyRun(precision: .float64)
    var options = SamplingOptions()
    options.maximumNewTokens = 10
    options.topK = 9
    options.topP = 0.9
    let prompts: [[Int32]] = [[1, 2, 3], [9, 9], [4]]
    let together = run.model.generate(prompts, options)
    for (index, prompt) in prompts.enumerated() {
      let alone = run.model.generate([prompt], options, samples: [index])[0]
      #expect(alone.tokens == together[index].tokens)
    }
  }

  @Test func `prompts that begin alike, in batches of other padding too, go on as each alone`()
    throws
  {
    let run = try TinyRun(precision: .float64)
    var options = SamplingOptions()
    options.maximumNewTokens = 6
    let prompts: [[Int32]] = [[1, 2, 3, 4], [1, 2, 9], [1, 2, 3, 4, 5], [5], [1, 2, 3, 4], [1]]
    let together = run.model.generate(prompts, options)
    for (index, prompt) in prompts.enumerated() {
      let alone = run.model.generate([prompt], options, samples: [index])[0]
      #expect(alone.tokens == together[index].tokens)
      for (found, expected) in zip(together[index].logProbabilities, alone.logProbabilities) {
        #expect(abs(found - expected) <= 1e-13 * max(1, abs(expected)))
      }
    }
  }

  @Test(
    .enabled(if: productKernelName == "AVX-512 panels", "OpenBLAS rounds by the number of rows"),
    arguments: Precision.allCases)
  func `log-probabilities are those of training, bit for bit`(precision: Precision) throws {
    let run = try TinyRun(precision: precision, threads: 2) { $0.width = 40 }
    var options = SamplingOptions()
    options.maximumNewTokens = 21
    let prompts: [[Int32]] = [[1, 2, 3, 4, 5], [7], [30, 2, 9]]
    for (prompt, found) in zip(prompts, run.model.generate(prompts, options)) {
      let tokens = prompt + found.tokens
      let device = try Device(precision: precision, threads: 1)
      let tape = Tape(device)
      let output = run.model.forward(Batch(tokens: tokens, sequences: 1), on: tape)
      let labels = Array(tokens.dropFirst()) + [-100]
      let expected = run.model.logProbabilities(output.hidden, labels: labels).value.elements
      #expect(found.logProbabilities == Array(expected[(prompt.count - 1)...].dropLast()))
    }
  }

  @Test(arguments: [TracedTokens.asked, .every], ["data=1", "tensor=2", "data=2", "expert=2"])
  func `a trace tells what a pass over the whole sequence computes`(
    traced: TracedTokens, layout: String
  ) throws {
    var options = SamplingOptions()
    options.maximumNewTokens = 7
    options.traced = traced
    options.stopTokens = [3, 4]
    let prompts: [[Int32]] = [[1, 2, 3, 4, 5], [7], [30, 2, 9], [1, 2, 3]]
    let ranks = layout == "data=1" ? 1 : 2
    let found = try InProcessRanks.run(ranks) { [options] world in
      let mesh = ProcessMesh(world, layout: try Layout(layout, ranks: ranks))
      return try TinyRun(precision: .float64, mesh: mesh).model.generate(sharing: prompts, options)
    }
    let whole = try TinyRun(precision: .float64)
    let device = try Device(precision: .float64, threads: 1)
    let k = whole.model.configuration.router.expertsPerToken
    let width = whole.model.configuration.width
    #expect(found.allSatisfy { $0 == found[0] })
    for (prompt, continuation) in zip(prompts, found[0]) {
      let tokens = Array((prompt + continuation.tokens).dropLast())
      let output = whole.model.forward(
        Batch(tokens: tokens, sequences: 1), on: Tape(device, recording: false))
      for (layer, routing) in output.routings.enumerated() {
        let chosen = continuation.trace.experts[layer]
        // The last layer is asked for the tokens alone that predict one of the continuation's.
        let isLast = layer == output.routings.count - 1
        let unasked = (traced == .asked && isLast ? prompt.count - 1 : 0) * k
        #expect(Array(chosen.prefix(unasked)) == Array(repeating: -1, count: unasked))
        #expect(Array(chosen.dropFirst(unasked)) == Array(routing.experts.dropFirst(unasked)))
      }
      let rows = continuation.trace.hidden.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) }
      let expected = output.hidden.value.elements.dropFirst((prompt.count - 1) * width)
      #expect(rows.count == expected.count)
      let worst = zip(rows, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(worst <= 1e-12 * expected.reduce(0) { max($0, abs($1)) })
    }
    options.traced = .none
    let untraced = whole.model.generate(prompts, options)
    #expect(untraced.allSatisfy { $0.trace.experts.isEmpty && $0.trace.hidden.isEmpty })
  }

  @Test func `samples are numbered as the caller says`() throws {
    let run = try TinyRun(precision: .float64)
    var options = SamplingOptions()
    options.maximumNewTokens = 6
    let prompts: [[Int32]] = [[1, 2, 3], [9, 9], [4], [9, 9]]
    let forward = run.model.generate(prompts, options, samples: [40, 3, 7, 8])
    let back = run.model.generate(Array(prompts.reversed()), options, samples: [8, 7, 3, 40])
    #expect(back.reversed().map(\.tokens) == forward.map(\.tokens))
    #expect(forward[1].tokens != forward[3].tokens)
    #expect(run.model.generate([], options).isEmpty)
  }

  @Test func `a stop token ends a sequence and belongs to it`() throws {
    let run = try TinyRun(precision: .float64)
    var options = SamplingOptions()
    options.temperature = 0
    options.maximumNewTokens = 8
    let free = run.model.generate([[1, 2]], options)[0]
    options.stopTokens = [free.tokens[3]]
    let stopped = run.model.generate([[1, 2]], options)[0]
    let first = free.tokens.firstIndex(of: free.tokens[3])!
    #expect(stopped.tokens == Array(free.tokens.prefix(first + 1)))
    #expect(stopped.isFinished)
  }

  @Test(.enabled(if: Stories.exists, "needs models/stories260k-mixtral beside the package"))
  func `trained weights write their story`() throws {
    let golden = try JSON(file: "\(Stories.folder)/golden.json")
    let ids = golden["ids"]!.asArray!.map { Int32($0.asInteger!) }
    let device = try Device(precision: .float32, threads: 1)
    let folder = try ModelFolder(Stories.folder)
    let model = try LanguageModel(
      folder.configuration.model, on: device, mesh: .single(), seed: 0)
    try folder.load(into: model)
    var options = SamplingOptions()
    options.temperature = 0
    options.maximumNewTokens = ids.count - 1
    let written = model.generate([[ids[0]]], options)[0]
    #expect(written.tokens == Array(ids.dropFirst()))
    let losses = golden["nll"]!.asArray!.map { $0.asNumber! }
    for (found, expected) in zip(written.logProbabilities, losses) {
      #expect(abs(-found - expected) <= 1e-4)
    }
    let tape = Tape(device, recording: false)
    let output = model.forward(Batch(tokens: ids, sequences: 1), on: tape)
    let logits = model.logits(output.hidden, tokens: ids.count).value
    for (row, expected) in golden["logits_first4"]!.asArray!.enumerated() {
      let error = relativeError(
        logits.slices(row, count: 1).elements, expected.asArray!.map { $0.asNumber! })
      #expect(error <= Bar.otherLibrary)
    }
  }
}

/// Really trained weights beside the package.
private enum Stories {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("../shared/models/stories260k-mixtral").path
  static var exists: Bool { FileManager.default.fileExists(atPath: "\(folder)/config.json") }
}
