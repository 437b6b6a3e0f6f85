// No layout of ranks changes what a model computes: against one rank, in float64.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

/// A configuration whose layouts are compared.
struct LayoutVariant: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let configuration: RunConfiguration

  init(_ name: String, _ change: (inout RunConfiguration) -> Void = { _ in }) {
    testDescription = name
    var configuration = RunConfiguration()
    configuration.model.vocabulary = 43
    configuration.model.width = 24
    configuration.model.layers = 2
    configuration.model.heads = 8
    configuration.model.keyValueHeads = 4
    configuration.model.headWidth = 4
    configuration.model.initialDeviation = 0.2
    configuration.model.router.experts = 8
    configuration.model.router.expertWidth = 10
    configuration.model.router.balanceCoefficient = 0.1
    configuration.model.router.zCoefficient = 0.01
    configuration.data.sequenceLength = 7
    configuration.training.batch = 9
    change(&configuration)
    self.configuration = configuration
  }

  static let all: [LayoutVariant] = [
    LayoutVariant("top-1") { $0.model.router.expertsPerToken = 1 },
    LayoutVariant("top-4, sigmoid, bias, temperature") {
      $0.model.router.expertsPerToken = 4
      $0.model.router.score = .sigmoid
      $0.model.router.biasRate = 0.1
      $0.model.router.learnedTemperature = true
    },
    LayoutVariant("shared experts, a dense layer, biases") {
      $0.model.router.sharedExperts = 1
      $0.model.denseLayers = [1]
      $0.model.denseWidth = 13
      $0.model.attentionBias = true
    },
    LayoutVariant("multi-query, norm per head, tied, clipped") {
      $0.model.keyValueHeads = 1
      $0.model.queryKeyNorm = .head
      $0.model.tiedEmbedding = true
      $0.model.clipQKV = 0.8
    },
    LayoutVariant("fewer key/value heads than ranks, full norm") {
      $0.model.keyValueHeads = 2
      $0.model.queryKeyNorm = .full
    },
    LayoutVariant("uneven heads: 9 over 3 key/value heads, full norm") {
      $0.model.heads = 9
      $0.model.keyValueHeads = 3
      $0.model.queryKeyNorm = .full
    },
    LayoutVariant("accumulation, balance of sequences") {
      $0.training.microBatch = 1
      $0.model.router.balanceScope = .sequence
    },
    LayoutVariant("accumulation, pooled balance, recomputed") {
      $0.training.microBatch = 1
      $0.training.recompute = .block
      $0.model.router.balanceScope = .pooled
    },
    LayoutVariant("more experts than tokens choose") {
      $0.model.router.experts = 32
      $0.data.sequenceLength = 3
    },
    LayoutVariant("capacity") { $0.model.router.capacityFactor = 0.6 },
  ]
}

@Suite struct LayoutTests {
  /// Of all legal ones those that differ in kind; `apus verify layouts` walks all.
  static let layouts: [(text: String, ranks: Int)] = [
    ("data=2", 2), ("tensor=2", 2), ("expert=2", 2), ("expert-tensor=2", 2), ("tensor=3", 3),
    ("tensor=2,expert=4", 4), ("tensor=4,expert=2,expert-tensor=2", 4), ("tensor=5", 5),
    ("tensor=2,expert=2,expert-tensor=2", 8), ("tensor=8,expert=8", 8), ("tensor=4,expert=2", 8),
    ("expert=8", 8), ("tensor=8,expert=2,expert-tensor=4", 8),
  ]

  @Test(arguments: LayoutVariant.all, [false, true])
  func `a layout changes neither weights nor losses nor any gradient`(
    variant: LayoutVariant, asksForSome: Bool
  ) throws {
    let check = LayoutCheck(variant.configuration, asksForSome: asksForSome)
    let reference = try check.reference(.float64)
    var compared = 0
    for (text, ranks) in Self.layouts {
      let layout = try Layout(text, ranks: ranks)
      guard check.configuration.allows(layout) else { continue }
      for dispatch in [ExpertDispatch.exchange, .overlapped, .gather] {
        let finding = try InProcessRanks.run(ranks) { world in
          try check.finding(
            layout, dispatch: dispatch, precision: .float64, reference: reference, on: world)
        }[0]
        #expect(finding.unequal.isEmpty, "\(text): \(finding.unequal)")
        #expect(
          finding.passes(bar: Bar.layout),
          "\(text), \(dispatch): \(finding.terms), gradient \(finding.gradient)")
        compared += 1
      }
    }
    #expect(compared >= 10)
  }

  @Test func `a capacity drops choices, and the same ones in every layout`() throws {
    let variant = LayoutVariant("capacity") { $0.model.router.capacityFactor = 0.6 }
    let configuration = variant.configuration
    let choices = try [("data=1", 1), ("tensor=2", 2), ("data=3", 3), ("tensor=3", 3)].map {
      text, ranks in
      try InProcessRanks.run(ranks) { world in
        let mesh = ProcessMesh(world, layout: try Layout(text, ranks: ranks))
        let model = try LanguageModel(
          configuration.model, on: try Device(precision: .float64, threads: 1), mesh: mesh, seed: 1)
        let trainer = Trainer(
          model, mesh: mesh, device: try Device(precision: .float64, threads: 1),
          optimizer: Optimizer(model.parameters), clip: 0)
        let batches = RandomBatches(configuration, seed: 1)
        return trainer.gradients(batches.microBatches(step: 0, over: trainer.data))
          .counts.expertChoices
      }[0]
    }
    let all = 9 * 7 * 2
    // ceil(0.6 · 2 · 7 / 8) = 2 choices of a sequence's expert.
    #expect(choices[0].allSatisfy { $0.allSatisfy { $0 <= 9 * 2 } })
    #expect(choices[0].allSatisfy { $0.reduce(0, +) < all })
    #expect(choices.allSatisfy { $0 == choices[0] })
  }

  @Test(arguments: [("tensor=2", 2), ("expert=2", 2), ("tensor=4,expert=2", 4)])
  func `a layout changes no sampled token`(layout: (text: String, ranks: Int)) throws {
    @Sendable func continuations(_ mesh: ProcessMesh) throws -> [Continuation] {
      let model = try LanguageModel(
        LayoutVariant("plain").configuration.model, on: try Device(precision: .float64, threads: 1),
        mesh: mesh, seed: 4)
      var options = SamplingOptions()
      options.maximumNewTokens = 12
      options.seed = 9
      options.stopTokens = [7]
      return model.generate([[1, 2, 3], [4], [5, 6]], options)
    }
    let one = try continuations(.single())
    let others = try InProcessRanks.run(layout.ranks) { world in
      try continuations(
        ProcessMesh(world, layout: try Layout(layout.text, ranks: layout.ranks)))
    }
    for other in others {
      #expect(other.map(\.tokens) == one.map(\.tokens))
      for (mine, theirs) in zip(other, one) {
        let error = relativeError(mine.logProbabilities, theirs.logProbabilities)
        #expect(error <= Bar.layout, "\(error)")
      }
    }
  }

  @Test(
    arguments: [
      ("data=2", 2), ("data=3", 3), ("expert=4", 4), ("tensor=2,expert=4", 4),
      ("tensor=2,expert=2,expert-tensor=2", 8), ("expert=8", 8),
    ])
  func `data ranks share prompts, and all get what one rank gets`(
    layout: (text: String, ranks: Int)
  ) throws {
    // Fewer prompts than some layouts have data ranks; some sequences end early.
    let prompts: [[Int32]] = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 11], [12]]
    @Sendable func continuations(_ mesh: ProcessMesh) throws -> [Continuation] {
      let model = try LanguageModel(
        LayoutVariant("plain").configuration.model, on: try Device(precision: .float64, threads: 1),
        mesh: mesh, seed: 4)
      var options = SamplingOptions()
      options.maximumNewTokens = 9
      options.stopTokens = Set(0..<12)
      return model.generate(sharing: prompts, options, samples: [5, 3, 9, 1, 0])
    }
    let one = try continuations(.single())
    #expect(one.contains { $0.isFinished } && one.contains { !$0.tokens.isEmpty })
    let others = try InProcessRanks.run(layout.ranks) { world in
      try continuations(
        ProcessMesh(world, layout: try Layout(layout.text, ranks: layout.ranks)))
    }
    for other in others {
      #expect(other.map(\.tokens) == one.map(\.tokens))
      #expect(other.map(\.isFinished) == one.map(\.isFinished))
      for (mine, theirs) in zip(other, one) {
        let error = relativeError(mine.logProbabilities, theirs.logProbabilities)
        #expect(error <= Bar.layout, "\(error)")
      }
    }
  }

  @Test(arguments: LayoutVariant.all)
  func `shrinking makes nothing larger`(variant: LayoutVariant) {
    var large = variant.configuration
    for vocabulary in [43, 5000] {
      large.model.vocabulary = vocabulary
      for (before, after) in zip(large.settings, large.shrunk.settings) {
        guard case .whole(let old) = before.value, case .whole(let new) = after.value else {
          continue
        }
        #expect(new <= old, "\(before.path)")
      }
    }
    large.model.vocabulary = 0
    #expect(large.shrunk.model.vocabulary == 101)
  }

  @Test func `a model that cannot be split so says what would do`() throws {
    func refusal(_ layout: String, _ ranks: Int) throws -> String {
      let model = LayoutVariant("plain") { $0.model.keyValueHeads = 2 }.configuration.model
      do {
        try model.validate(try Layout(layout, ranks: ranks))
        return "none"
      } catch { return "\(error)" }
    }
    #expect(
      try refusal("expert=3", 3)
        == "layout.expert is 3; accepted: a divisor of 8, the number of experts")
    #expect(
      try refusal("tensor=3", 3)
        == "layout.tensor is 3; accepted: up to 2, the number of key/value heads, or a multiple of it"
    )
    #expect(
      try refusal("tensor=16", 16)
        == "layout.tensor is 16; accepted: 1 to 8, the number of attention heads")
    #expect(try refusal("tensor=4", 4) == "none")
  }
}
