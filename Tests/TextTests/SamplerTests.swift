// Samplers: every token its turn, by seed and step alone.

import Testing
import Text

@Suite struct SamplerTests {
  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
  func `a permutation meets every place once`(count: Int) {
    for key: UInt64 in 0..<4 {
      let permutation = Permutation(of: count, key: key)
      #expect(Set((0..<count).map { permutation[$0] }) == Set(0..<count))
    }
  }

  @Test func `permutations look drawn by lot`() {
    // Each of 6 orders of 3 things, by 6,000 keys: χ² with 5 degrees, 99.9 % below 20.5.
    var counts: [[Int]: Double] = [:]
    for key: UInt64 in 0..<6000 {
      let permutation = Permutation(of: 3, key: key)
      counts[(0..<3).map { permutation[$0] }, default: 0] += 1
    }
    #expect(counts.count == 6)
    #expect(counts.values.reduce(0) { $0 + ($1 - 1000) * ($1 - 1000) / 1000 } < 20.5)
    // Neighbours do not stay neighbours.
    let large = Permutation(of: 10_000, key: 7)
    let steps = (1..<10_000).filter { abs(large[$0] - large[$0 - 1]) < 10 }.count
    #expect(steps < 60)
  }

  @Test(arguments: [(129, 128), (130, 128), (257, 128), (1000, 7), (10_000, 64), (65, 1)])
  func `an epoch learns each label at most once and leaves out less than two windows`(
    count: Int, length: Int
  ) throws {
    let sampler = try TrainingSampler(count: count, sequenceLength: length, seed: 3, name: "t")
    for epoch in 0..<5 {
      // One step is one epoch here.
      let starts = sampler.samples(step: epoch, batch: sampler.windows)
      var times = [Int](repeating: 0, count: count)
      for start in starts {
        #expect(start >= 0 && start + length + 1 <= count)
        for label in start + 1...start + length { times[label] += 1 }
      }
      #expect(times[0] == 0 && times.allSatisfy { $0 <= 1 })
      #expect(times.dropFirst().filter { $0 == 0 }.count < 2 * length)
    }
  }

  @Test func `samples follow from seed, step and batch alone`() throws {
    func sampler(_ seed: UInt64) throws -> TrainingSampler {
      try TrainingSampler(count: 5000, sequenceLength: 32, seed: seed, name: "t")
    }
    let forwards = try (0..<200).map { try sampler(1).samples(step: $0, batch: 8) }
    let again = try sampler(1)
    for step in (0..<200).reversed() {
      #expect(again.samples(step: step, batch: 8) == forwards[step])
    }
    // Another way to cut the same samples into steps changes nothing.
    let single = (0..<1600).flatMap { again.samples(step: $0, batch: 1) }
    #expect(single == forwards.flatMap { $0 })
    #expect(try sampler(2).samples(step: 0, batch: 64) != sampler(1).samples(step: 0, batch: 64))
  }

  @Test func `epochs are cut at different places`() throws {
    let sampler = try TrainingSampler(count: 5000, sequenceLength: 64, seed: 9, name: "t")
    let cuts = (0..<40).map { sampler.samples(step: $0, batch: sampler.windows)[0] % 64 }
    #expect(Set(cuts).count > 20)
  }

  @Test(arguments: [1, 63, 64, 65, 128, 1000])
  func `evaluation predicts every token once`(length: Int) throws {
    let folder = try TemporaryFolder()
    var draws = Draws(17)
    let path = try folder.write("t.txt", HardText.make(3000, using: &draws))
    let corpus = try Corpus(path, tokenizer: TokenizerTests.tokenizers[0])
    for part in [corpus.evaluation(), corpus.training()] {
      let windows = try EvaluationWindows(part, sequenceLength: length)
      let all = (0..<windows.count).map { windows[$0] }
      #expect(all.allSatisfy { $0.inputs.count == length && $0.labels.count == length })
      let labels = all.flatMap { $0.labels.prefix($0.count) }
      #expect(labels == part.window(at: 0, count: part.count))
      let inputs = all.flatMap { $0.inputs.prefix($0.count) }
      #expect(inputs == [part.context!] + labels.dropLast())
      #expect(all.dropLast().allSatisfy { $0.count == length })
      let last = try #require(all.last)
      #expect(last.count > 0 && last.labels[last.count...].allSatisfy { $0 == -100 })
    }
  }

  @Test func `a first token that nothing stands before is refused`() throws {
    let folder = try TemporaryFolder()
    var settings = TokenizerSettings(vocabularySize: 256)
    settings.specialTokens = []
    let bare = try TokenizerTraining(settings).tokenizer()
    let corpus = try Corpus(try folder.write("t.txt", "some words here"), tokenizer: bare)
    #expect(throws: TextError.self) { try EvaluationWindows(corpus.whole, sequenceLength: 4) }
    #expect(try EvaluationWindows(corpus.evaluation(), sequenceLength: 4).count == 1)
  }
}
