// `apus generate` and `apus evaluate`: what a checkpoint writes, and how well it predicts.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Text
import Training
import Transformer

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continues a prompt with a checkpoint's model.")

  @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
  var checkpoint: String
  @Option(help: "Text to continue.")
  var prompt = ""
  @Option(help: "Token numbers to continue instead, separated by commas; needs no tokenizer.")
  var tokens: String?
  @Option(help: "New tokens at most.")
  var length = 128
  @Option(help: "Continuations to write.")
  var count = 1
  @Option(help: "Divides the logits; 0 takes the likeliest token.")
  var temperature = 0.8
  @Option(help: "Only the k likeliest tokens; 0 is all.")
  var topK = 0
  @Option(help: "Only the likeliest tokens that together have this probability.")
  var topP = 0.95
  @Option(help: "Key of the random numbers.")
  var seed: UInt64 = 1
  @Option(
    help: "Draw so many continuations for each and keep the one that --reward-model likes best.")
  var bestOf: Int?
  @Option(help: "A checkpoint of a reward model.")
  var rewardModel: String?
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  /// Continuations that are drawn at most: all are kept until the last is there.
  private static let mostAnswers = 1 << 20

  func validate() throws {
    func check(_ ok: Bool, _ problem: String) throws { if !ok { throw ValidationError(problem) } }
    let longest = DataConfiguration.longestSequence
    try check(
      (1...longest).contains(length), "--length is \(length); accepted: 1 to \(longest)")
    let most = Self.mostAnswers
    try check((1...most).contains(count), "--count is \(count); accepted: 1 to \(most)")
    try check(
      temperature >= 0 && temperature.isFinite,
      "--temperature is \(temperature); accepted: 0 or more")
    try check(topK >= 0, "--top-k is \(topK); accepted: 0 or more")
    try check(topP > 0 && topP <= 1, "--top-p is \(topP); accepted: above 0, up to 1")
    try check(
      (bestOf == nil) == (rewardModel == nil), "--best-of and --reward-model belong together")
    let mostOf = most / count
    try check(
      (1...mostOf).contains(bestOf ?? 1),
      "--best-of is \(bestOf ?? 1); accepted: 1 to \(mostOf), since --count is \(count)")
  }

  func run() throws {
    try ranks.run { world in try generate(on: world) }
  }

  /// Data ranks share several continuations; rank 0 shows all.
  private func generate(on world: Communicator) throws {
    let loaded = try LoadedModel(
      checkpoint,
      threads: RankOptions.threads(inProcess: ranks.ranksInProcess),
      world: world, layout: layout.layout)
    // Numbers need no tokenizer: where the checkpoint's cannot be read, numbers come out as well.
    let tokenizer =
      tokens == nil
      ? try world.agreeing { try loaded.textTokenizer() } : try? loaded.textTokenizer()
    let start = try start(tokenizer, vocabulary: loaded.model.configuration.vocabulary)
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.maximumNewTokens = length
    options.seed = seed
    if let end = tokenizer?.endOfText { options.stopTokens = [end] }
    func show(_ text: String, terminator: String = "\n") {
      if world.rank == 0 { say(text, terminator: terminator) }
    }
    if let bestOf, let rewardModel {
      let judge = try ranks.load(rewardModel, layout: layout, world: world)
      let best = BestContinuations(
        rewardModel: try world.agreeing { try RewardModel(judge, for: loaded) }, of: bestOf)
      for (score, tokens) in try best.draw(count, start, options, from: loaded) {
        show("— reward \(Figure.fixed(score, 3)), the best of \(bestOf)")
        show(tokenizer?.decode(tokens) ?? tokens.map(String.init).joined(separator: ","))
      }
      return
    }
    if count == 1, let tokenizer {
      // As it comes.
      var stream = TextAssembly(tokenizer)
      show(start.map { stream.append($0) }.joined(), terminator: "")
      _ = loaded.model.generate([start], options) { _, token in
        show(stream.append(token), terminator: "")
      }
      show(stream.finish())
      return
    }
    let continuations = loaded.model.generate(
      sharing: Array(repeating: start, count: count), options)
    for (index, continuation) in continuations.enumerated() {
      let all = start + continuation.tokens
      if count > 1 { show("— \(index + 1)") }
      show(tokenizer?.decode(all) ?? all.map(String.init).joined(separator: ","))
    }
  }

  private func start(_ tokenizer: Tokenizer?, vocabulary: Int) throws -> [Int32] {
    if let tokens {
      guard tokens.contains(where: { $0 != "," }) else {
        throw ArgumentError("--tokens is '\(tokens)'; accepted: numbers, separated by commas")
      }
      return try tokens.split(separator: ",").map { part in
        guard let token = Int32(part.trimmingCharacters(in: .whitespaces)),
          (0..<Int32(vocabulary)).contains(token)
        else {
          throw ArgumentError(
            "--tokens holds '\(part)'; accepted: numbers from 0 to \(vocabulary - 1)")
        }
        return token
      }
    }
    guard let tokenizer else {
      throw ArgumentError("the checkpoint has no tokenizer; give --tokens instead of --prompt")
    }
    let encoded = tokenizer.encode(prompt)
    if !encoded.isEmpty { return encoded }
    guard let end = tokenizer.endOfText else {
      throw ArgumentError("--prompt is empty; accepted: some text")
    }
    return [end]
  }
}

struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Loss per token and bits per character of a checkpoint on text it was not trained on."
  )

  @Argument(help: "A checkpoint (…/step-00000100), or a run's folder for its newest.")
  var checkpoint: String
  @Option(help: "Another corpus than the configuration's.")
  var corpus: String?
  @Option(help: "held-out (the last tenth) or validation (the ninth).")
  var part = EvaluationPart.heldOut
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func run() throws {
    try ranks.run { world in try evaluate(on: world) }
  }

  private func evaluate(on world: Communicator) throws {
    let loaded = try LoadedModel(
      checkpoint,
      threads: RankOptions.threads(inProcess: ranks.ranksInProcess),
      world: world, layout: layout.layout)
    let text = try world.agreeing {
      try EvaluationText(loaded, corpus: corpus, part: part)
    }
    let sum = loaded.model.evaluate(
      text.batches(over: loaded.mesh.communicator(.data)), over: world)
    guard world.rank == 0 else { return }
    let bits = sum.bitsPerCharacter(text.characters) ?? 0
    if json {
      say(
        JSON.object(
          JSONObject([
            ("checkpoint", .string(loaded.path)), ("part", .string(part.rawValue)),
            ("loss", .number(sum.lossPerToken)), ("bits_per_character", .number(bits)),
            ("tokens", .integer(Int64(sum.tokens))),
            ("characters", .integer(Int64(text.characters))),
          ])
        ).compact)
    } else {
      say(
        "\(loaded.path), \(part.rawValue): loss \(Figure.fixed(sum.lossPerToken, 4)), bits/char "
          + "\(Figure.fixed(bits, 4)) (\(sum.tokens) tokens, \(text.characters) characters)")
    }
  }
}

extension EvaluationPart: ExpressibleByArgument {}
