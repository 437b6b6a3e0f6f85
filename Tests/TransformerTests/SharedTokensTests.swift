// Rows that tokens share: all else is as if each token had its own.

import Kernels
import Parallel
import Tensors
import Testing
import Training
import Transformer

@Suite struct SharedTokensTests {
  /// Four sequences of 9 tokens that begin alike for 0, 3, 5 and 9 places, the last token of the third is
  /// padding.
  private static func whole(distinct: Int32 = 37) -> MicroBatch {
    let length = 9
    let beginning = (0..<length).map { Int32($0 * 5 + 2) % distinct }
    let tokens = [9, 3, 5, 0].flatMap { (alike: Int) -> [Int32] in
      let own = (alike..<length).map { Int32($0 * 7 + alike * 11 + 1) % distinct }
      return beginning[..<alike] + own
    }
    var mask = [Bool](repeating: true, count: tokens.count)
    mask[3 * length - 1] = false
    let batch = Batch(tokens: tokens, sequences: 4, length: length, mask: mask)
    return MicroBatch(
      batch, labels: tokens.indices.map { $0 % 3 == 1 || !mask[$0] ? -100 : Int32($0) })
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    var asks = false
    var change: @Sendable (inout ModelConfiguration) -> Void = { _ in }

    static let all = [
      Case(testDescription: "all outputs"),
      Case(testDescription: "some outputs", asks: true) {
        ($0.router.balanceCoefficient, $0.router.zCoefficient) = (0, 0)
      },
      Case(testDescription: "pooled balance") { $0.router.balanceScope = .pooled },
      Case(testDescription: "a dense first layer") {
        $0.denseLayers = [0]
        $0.denseWidth = 13
      },
      Case(testDescription: "a norm per head, bounded") {
        $0.queryKeyNorm = .head
        $0.clipQKV = 0.8
      },
      Case(testDescription: "a full norm, biases") {
        $0.queryKeyNorm = .full
        $0.attentionBias = true
      },
      Case(testDescription: "one layer") { $0.layers = 1 },
      Case(testDescription: "three layers, a shared expert") {
        $0.layers = 3
        $0.router.sharedExperts = 1
      },
    ]
  }

  @Test(arguments: Case.all, [false, true])
  func `losses, counts and gradients are those of a row for each token`(
    kind: Case, recomputes: Bool
  ) throws {
    let run = try TinyRun(precision: .float64, kind.change)
    run.model.recomputesBlocks = recomputes
    let batch = kind.asks ? Self.whole().asking { $0 != -100 } : Self.whole()
    let shared = batch.sharingBeginnings()
    #expect(shared.batch.shared?.tokens.count == 4 * 9 - 3 - 5)
    let all = run.trainer.gradients([batch])
    let expected = run.model.parameters.parameters.map(\.gradient.elements)
    let some = run.trainer.gradients([shared])
    #expect(some.counts == all.counts)
    for (found, expected) in [
      (some.loss, all.loss), (some.balance, all.balance), (some.z, all.z),
      (some.gradientNorm, all.gradientNorm),
    ] {
      #expect(abs(found - expected) <= 1e-12 * abs(expected))
    }
    for (found, expected) in zip(some.routers, all.routers) {
      for (found, expected) in zip(found.probabilities, expected.probabilities) {
        #expect(abs(found - expected) <= 1e-12 * expected)
      }
    }
    expectClose(run.model.parameters.parameters.map(\.gradient.elements), expected, run.model)
  }

  @Test(arguments: Case.all, [false, true])
  func `the first layer's rows are by token of the vocabulary where tokens recur`(
    kind: Case, recomputes: Bool
  ) throws {
    let run = try TinyRun(precision: .float64, kind.change)
    run.model.recomputesBlocks = recomputes
    let whole = Self.whole(distinct: 11)
    let plain = kind.asks ? whole.asking { $0 != -100 } : whole
    for micro in [plain, plain.sharingBeginnings()] {
      let counts = run.trainer.gradients([micro]).counts
      let expected = run.model.parameters.parameters.map(\.gradient.elements)
      run.model.parameters.clearGradients()
      let tape = Tape(run.trainer.device)
      // Who looks at the embeddings gets each token's, or those of equal beginnings once.
      var looked = 0
      let output = run.model.forward(micro.batch, on: tape) { part, rows in
        if part == 0 { looked = rows.rows }
      }
      tape.backward(from: [
        run.model.objective(output, labels: micro.labels, micro.batch, counts: counts).total
      ])
      #expect(looked == micro.batch.shared?.tokens.count ?? 36)
      for parameter in run.model.parameters.parameters { parameter.slot.zeroIfEmpty() }
      expectClose(run.model.parameters.parameters.map(\.gradient.elements), expected, run.model)
    }
  }

  @Test(arguments: [BalanceScope.batch, .pooled], [0, 3])
  func `a balance loss that is not learnt is the one that is`(
    scope: BalanceScope, microBatch: Int
  ) throws {
    func balance(_ coefficient: Double, shares: Bool) throws -> [Double] {
      let run = try TinyRun(precision: .float64) {
        $0.router.balanceScope = scope
        $0.router.balanceCoefficient = coefficient
      }
      let micros = microBatch == 0 ? [Self.whole()] : run.microBatches(size: microBatch)
      let result = run.trainer.gradients(shares ? micros.map { $0.sharingBeginnings() } : micros)
      return [result.balance] + result.routers.map(\.balance)
    }
    for shares in [false, true] {
      // So little teaches nothing, but has its term on the tape.
      let learnt = try balance(1e-300, shares: shares)
      let found = try balance(0, shares: shares)
      #expect(learnt.allSatisfy { $0 > 0.5 } && found.count == 3)
      for (value, other) in zip(found, learnt) { #expect(abs(value - other) <= 1e-13) }
    }
  }

  @Test func `given experts serve all tokens that share a row, where they are the same`() throws {
    let run = try TinyRun(precision: .float64)
    func given(_ choice: (_ token: Int) -> Int32) -> MicroBatch {
      var batch = Self.whole().batch
      batch.expertChoices = (0..<2).map { layer in
        batch.tokens.indices.flatMap { token -> [Int32] in
          let first = (choice(token) + Int32(layer)) % 6
          return [first, (first + 2) % 6]
        }
      }
      return MicroBatch(batch, labels: Self.whole().labels)
    }
    // By token of the vocabulary alone: equal tokens have equal experts.
    let micro = given { Self.whole().batch.tokens[$0] % 6 }
    let shared = micro.sharingBeginnings()
    #expect(shared.batch.shared!.agree(micro.batch.expertChoices!, perToken: 2))
    _ = run.trainer.gradients([micro])
    let expected = run.model.parameters.parameters.map(\.gradient.elements)
    _ = run.trainer.gradients([shared])
    expectClose(run.model.parameters.parameters.map(\.gradient.elements), expected, run.model)
    let others = given { Int32($0 % 6) }.batch.expertChoices!
    #expect(!shared.batch.shared!.agree(others, perToken: 2))
  }

  @Test func `padding has no part in the sums of probabilities`() throws {
    let run = try TinyRun(precision: .float64)
    let batch = Self.whole().batch
    let output = run.model.forward(batch, on: Tape(run.trainer.device, recording: false))
    for routing in output.routings {
      var expected = [Double](repeating: 0, count: 6)
      for (place, probability) in routing.probabilities.value.elements.enumerated()
      where batch.mask![place / 6] {
        expected[place % 6] += probability
      }
      for (found, expected) in zip(routing.probabilitySums, expected) {
        #expect(abs(found - expected) <= 1e-13)
      }
      #expect(abs(routing.probabilitySums.reduce(0, +) - 35) <= 1e-12)
    }
  }

  @Test func `routers that are not observed change no gradient`() throws {
    let run = try TinyRun(precision: .float64) {
      ($0.router.balanceCoefficient, $0.router.zCoefficient) = (0, 0)
    }
    let micro = Self.whole().sharingBeginnings()
    run.trainer.task = { [model = run.model] output, micro, _ in
      scaledSum(model.logProbabilities(output.hidden, labels: micro.labels), factor: -0.1)
    }
    let observed = run.trainer.gradients([micro])
    let expected = run.model.parameters.parameters.map(\.gradient.elements)
    run.trainer.observesRouters = false
    let silent = run.trainer.gradients([micro])
    #expect(run.model.parameters.parameters.map(\.gradient.elements) == expected)
    #expect(silent.loss == observed.loss && silent.gradientNorm == observed.gradientNorm)
    #expect(observed.balance > 0 && silent.balance == 0)
  }

  private func expectClose(
    _ found: [[Double]], _ expected: [[Double]], _ model: LanguageModel
  ) {
    for (parameter, (found, expected)) in zip(model.parameters.parameters, zip(found, expected)) {
      let largest = expected.reduce(0) { max($0, abs($1)) }
      for (index, pair) in zip(found, expected).enumerated() {
        #expect(
          abs(pair.0 - pair.1) <= 1e-12 * largest,
          "\(parameter.name)[\(index)] \(pair.0) instead of \(pair.1)")
      }
    }
  }

  @Test func `each router decides for all tokens that share a row`() throws {
    let run = try TinyRun(precision: .float64) {
      ($0.router.balanceCoefficient, $0.router.zCoefficient) = (0, 0)
    }
    let micro = Self.whole().asking { $0 != -100 }.sharingBeginnings()
    let output = run.model.forward(micro.batch, on: Tape(run.trainer.device, recording: false))
    let first = output.routings[0].rows(micro.batch)
    #expect(Set(first).count == 28 && first.allSatisfy { $0 >= 0 })
    // The second sequence begins as the first for three tokens, the third for five.
    #expect(first[9..<12] == first[0..<3] && first[18..<23] == first[0..<5])
    #expect(first[12] != first[3] && first[23] != first[5])
    // The last router sees the tokens that are asked for, each apart.
    let last = output.routings[1].rows(micro.batch)
    for (token, row) in last.enumerated() {
      #expect((row >= 0) == micro.batch.asked!.contains(token))
    }
    #expect(Set(last).count == micro.batch.asked!.count + 1)
  }

  @Test func `beginnings have one number exactly where they are equal`() {
    let key = RandomKey(seed: 5, name: "beginnings")
    let sequences = (0..<40).map { sequence in
      (0..<sequence % 7).map {
        Int32(uniformInteger(key, counter: UInt64(sequence * 7 + $0), below: 3))
      }
    }
    let beginnings = Beginnings(sequences)
    #expect(beginnings.numbers.map(\.count) == sequences.map(\.count))
    var byNumber: [Int32: [Int32]] = [:]
    for (sequence, numbers) in zip(sequences, beginnings.numbers) {
      for (place, number) in numbers.enumerated() {
        let beginning = Array(sequence[...place])
        #expect(byNumber[number, default: beginning] == beginning)
        byNumber[number] = beginning
      }
    }
    #expect(Set(byNumber.values).count == beginnings.count && byNumber.count == beginnings.count)
    #expect(
      beginnings.order
        == sequences.indices.sorted {
          sequences[$0] == sequences[$1]
            ? $0 < $1 : sequences[$0].lexicographicallyPrecedes(sequences[$1])
        })
  }

  @Test func `nothing is shared where all tokens differ, and −1 is shared with none`() {
    #expect(SharedTokens(kinds: [2, 0, 1, -1, -1], kindCount: 3) == nil)
    let shared = SharedTokens(kinds: [1, -1, 1, 0, -1, 0], kindCount: 2)
    #expect(shared?.tokens == [0, 1, 3, 4] && shared?.rows == [0, 1, 0, 2, 3, 2])
  }
}
