// A small corpus, tokenizer, configuration and a finished run, made once for all tests.

import Foundation
import Synchronization
import Testing

/// A folder of everything that a command can be given; children run in it, so paths are short.
final class Workshop: Sendable {
  /// Made when the first test asks; gone when the process ends.
  static func shared() throws -> Workshop { try made.get() }
  private static let made = Result { try Workshop() }

  /// A run of `tiny.yaml`: steps 5, 10, 15 and 20 are saved.
  static let run = "runs/tiny"
  static let lastStep = "runs/tiny/step-00000020"

  let folder: String
  private let count = Atomic<Int>(0)

  private init() throws {
    // In memory where there is such a place, since every save is synced.
    let parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NSTemporaryDirectory()
    folder = "\(parent)/apus-command-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    Self.removeAtExit(folder)
    try write("corpus.txt", Self.text(lines: 3600))
    try write("tiny.yaml", Self.configuration)
    try succeed([
      "tokenizer", "train", "corpus.txt", "--vocabulary", "300", "--output", "tokenizer.json",
    ])
    try succeed([
      "tokenizer", "train", "corpus.txt", "--vocabulary", "300", "--pattern", "qwen", "--output",
      "other.json", "--special", "<|other|>",
    ])
    try succeed(["pretrain", "tiny.yaml"])
    try succeed(["export", Self.run, "exported"])
  }

  static let configuration = """
    run:
      name: tiny
      folder: runs
      threads: 1
    data:
      corpus: corpus.txt
      tokenizer: tokenizer.json
      sequenceLength: 32
    model:
      width: 32
      layers: 2
      heads: 2
      keyValueHeads: 1
      router:
        experts: 4
        expertsPerToken: 2
        expertWidth: 32
    training:
      steps: 20
      batch: 4
    schedule:
      warmup: 2
    evaluation:
      every: 10
      windows: 8
    samples:
      tokens: 8
    checkpoint:
      every: 5
      keep: 0
    display:
      every: 1

    """

  /// Sentences of few words, some 200 kB in 3600 lines.
  private static func text(lines: Int) -> String {
    let words = "the quick brown fox jumps over lazy dogs and every swift flies alone in summer "
    let list = (words + "storms without landing once before autumn calls it home").split(
      separator: " ")
    var state: UInt64 = 1
    return (0..<lines).map { _ in
      (0..<10).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return String(list[Int(state >> 33) % list.count])
      }.joined(separator: " ")
    }.joined(separator: ".\n")
  }

  private static let folders = Mutex<[String]>([])
  private static func removeAtExit(_ folder: String) {
    folders.withLock { $0.append(folder) }
    atexit {
      for folder in Workshop.folders.withLock({ $0 }) {
        try? FileManager.default.removeItem(atPath: folder)
      }
    }
  }

  // MARK: - Files

  func path(_ name: String) -> String { "\(folder)/\(name)" }

  func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

  func write(_ name: String, _ bytes: [UInt8]) throws {
    let parent = URL(filePath: path(name)).deletingLastPathComponent()
    try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(filePath: path(name)))
  }

  func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(filePath: path(name))))
  }

  func names(_ name: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path(name)).sorted()
  }

  func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path(name)) }

  /// A name that no other test has.
  func fresh(_ word: String) -> String {
    "\(word)-\(count.add(1, ordering: .relaxed).newValue)"
  }

  /// A copy of a folder or file under a name of its own.
  func copy(_ name: String, as word: String) throws -> String {
    let copy = fresh(word)
    let parent = URL(filePath: path(copy)).deletingLastPathComponent()
    try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: path(name), toPath: path(copy))
    return copy
  }

  /// Digest-free comparison of checkpoints: all tensor files by name.
  func tensors(_ checkpoint: String) throws -> [String: [UInt8]] {
    let files = try names(checkpoint).filter { $0.hasSuffix(".safetensors") }
    return try Dictionary(
      uniqueKeysWithValues: files.map { ($0, try bytes("\(checkpoint)/\($0)")) })
  }

  // MARK: - Commands

  func start(_ words: [String]) throws -> Child { try Child(words, in: folder) }

  func run(_ arguments: [String], on ranks: Ranks = .one) throws -> Outcome {
    try start(ranks.words(arguments)).wait()
  }

  /// Runs what must succeed.
  @discardableResult
  func succeed(_ arguments: [String], on ranks: Ranks = .one) throws -> Outcome {
    let outcome = try run(arguments, on: ranks)
    guard outcome.status == 0 else { throw Unexpected(arguments: arguments, outcome: outcome) }
    return outcome
  }

  /// Arguments of a short run of its own, with these settings over `tiny.yaml`.
  func training(_ name: String, _ settings: [String] = [], resume: Bool = false) -> [String] {
    ["pretrain", "tiny.yaml", "--set", "run.name=\(name)"] + settings.flatMap { ["--set", $0] }
      + (resume ? ["--resume"] : [])
  }

  /// Waits until the run has made a step; false if `child` ends before.
  func wait(for step: Int, of run: String, _ child: Child) -> Bool {
    let patience = ContinuousClock.now + .seconds(Child.limit)
    while child.isRunning && ContinuousClock.now < patience {
      let log = FileManager.default.contents(atPath: path("runs/\(run)/metrics.jsonl")) ?? Data()
      if String(decoding: log, as: UTF8.self).contains("\"step\",\"step\":\(step),") { return true }
      usleep(2000)
    }
    return false
  }
}

/// A command that a test builds on has failed.
struct Unexpected: Error, CustomStringConvertible {
  let arguments: [String]
  let outcome: Outcome
  var description: String {
    "apus \(arguments.joined(separator: " ")): status \(outcome.status): \(outcome.errors)"
  }
}
