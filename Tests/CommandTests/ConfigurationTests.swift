// Mistakes in command lines and configurations, as a user meets them.

import Testing

@Suite struct ConfigurationTests {
  private static func setting(_ setting: String, _ says: String...) -> Refusal {
    Refusal(
      setting, ["pretrain", "tiny.yaml", "--set", "run.name=never", "--set", setting], says: says,
      status: 64)
  }

  /// One of the settings is none, or has a value that no run can have.
  static let settings = [
    setting("model.widht=64", "--set model.widht=64", "did you mean 'model.width'?"),
    setting("nonsense=1", "no setting 'nonsense'", "accepted: one of"),
    setting("model=1", "model is a section", "model.width"),
    setting("model.width", "there is no '='", "path=value"),
    setting("model.width=wide", "model.width is wide", "a whole number"),
    setting("model.width=1.5", "model.width is 1.5", "a whole number"),
    setting("model.tiedEmbedding=perhaps", "model.tiedEmbedding is perhaps", "true"),
    setting("schedule.kind=zigzag", "schedule.kind is zigzag", "cosine"),
    setting("optimizer.learningRate=nan", "optimizer.learningRate is nan", "a number"),
    setting("optimizer.beta2=1", "optimizer.beta2 is 1.0", "below 1"),
    setting("training.steps=0", "training.steps is 0", "accepted: 1 to"),
    setting("data.sequenceLength=1", "data.sequenceLength is 1", "accepted: 2 to"),
    setting("samples.topP=0", "samples.topP is 0.0", "more than 0"),
    setting("run.folder=", "run.folder", "a folder's path"),
    setting("run.name=twice", "run.name is given more than once", "each setting once"),
  ]

  /// Sizes that do not fit each other, the ranks, the tokenizer or the machine.
  static let sizes = [
    setting("model.width=-32", "model.width is -32", "accepted: 0 to"),
    setting("model.heads=3", "model.heads is 3", "a divisor of width 32"),
    setting("model.heads=0", "model.heads is 0", "1 or more"),
    setting("model.keyValueHeads=3", "model.keyValueHeads is 3", "a divisor of heads 2"),
    setting("model.headWidth=7", "model.headWidth is 7", "an even number"),
    setting("model.heads=32", "model.headWidth is 1", "an even number"),
    setting("model.layers=0", "model.layers is 0", "1 or more"),
    setting("model.router.experts=1", "tiny.yaml:16:", "expertsPerToken is 2", "1 to 1"),
    setting("model.denseLayers=[2]", "model.denseLayers is 2", "layers from 0 to 1"),
    setting("model.denseLayers=[0]", "model.denseWidth is 0", "1 or more"),
    setting("layout.tensor=2", "layout 'tensor=2", "impossible on 1 rank", "nearest: data=1"),
    setting("layout.expert=2", "layout 'expert=2'", "impossible on 1 rank"),
    setting("training.batch=0", "training.batch is 0", "accepted: 1 to"),
    setting("model.vocabulary=100", "model.vocabulary is 100", "300 or more", "tokenizer.json"),
    setting("model.width=1000000", "T parameters", "GB of memory", "smaller model.width"),
    setting("model.layers=1000000", "G parameters", "GB of memory", "smaller model.width"),
  ]

  @Test(arguments: settings + sizes)
  func `a setting that cannot be used is named with its value and what is accepted`(
    refusal: Refusal
  ) throws {
    let workshop = try Workshop.shared()
    expectRefusal(try workshop.run(refusal.arguments), status: refusal.status, says: refusal.says)
    #expect(try !workshop.names("runs").contains("never"))
  }

  @Test(arguments: [
    ("model: {widht: 32}", ":1:9", "did you mean 'model.width'?"),
    ("model:\n  width: wide\n", ":2:10", "accepted: a whole number"),
    ("model: [1, 2]", ":1:8", "accepted: a mapping"),
    ("model: {width: 32\n", ":2:1", "accepted: YAML"),
    ("run: {name: a}\nrun: {name: b}\n", "run", "each setting once"),
    ("", "holds no settings", "accepted"),
    ("\u{FFFD}\0", "", "accepted"),
  ])
  func `a mistake in a file is named with its line`(
    yaml: String, place: String, accepted: String
  ) throws {
    let workshop = try Workshop.shared()
    let name = workshop.fresh("mistake") + ".yaml"
    try workshop.write(name, yaml)
    expectRefusal(
      try workshop.run(["pretrain", name]), status: 64,
      says: [name + (place.first == ":" ? place : ""), accepted])
  }

  @Test func `a configuration that is no UTF-8, missing or a folder is refused`() throws {
    let workshop = try Workshop.shared()
    let binary = workshop.fresh("binary") + ".yaml"
    try workshop.write(binary, [0x72, 0xFF, 0x00, 0x80])
    for (file, says) in [
      (binary, "is not UTF-8"), ("missing.yaml", "No such file"), ("runs", "not a regular file"),
    ] {
      expectRefusal(
        try workshop.run(["pretrain", file]), status: 64,
        says: [file, says, "accepted: a readable YAML file"])
    }
  }

  /// Command lines that mean nothing.
  static let commandLines = [
    Refusal("no such subcommand", ["pretrian", "tiny.yaml"], says: ["pretrian"], status: 64),
    Refusal("no such option", ["pretrain", "tiny.yaml", "--bogus"], says: ["--bogus"], status: 64),
    Refusal("no configuration", ["pretrain"], says: ["<config>"], status: 64),
    Refusal("one too many", ["pretrain", "tiny.yaml", "more"], says: ["more"], status: 64),
    Refusal(
      "no ranks", ["pretrain", "tiny.yaml", "--ranks-in-process", "0"],
      says: ["--ranks-in-process is 0", "accepted: 1 to 256"], status: 64),
    Refusal(
      "a token that there is not", ["generate", Workshop.run, "--tokens", "1,300"],
      says: ["--tokens", "'300'", "0 to 299"], status: 64),
    Refusal(
      "no tokens", ["generate", Workshop.run, "--tokens", ","], says: ["--tokens", "accepted"],
      status: 64),
    Refusal(
      "no length", ["generate", Workshop.run, "--length", "0"],
      says: ["--length is 0", "1 to 1048576"], status: 64),
    Refusal(
      "a length beyond all memory", ["generate", Workshop.run, "--length", "9223372036854775807"],
      says: ["--length is 9223372036854775807", "1 to 1048576"], status: 64),
    Refusal(
      "more continuations than anybody reads",
      ["generate", Workshop.run, "--count", "9223372036854775807"],
      says: ["--count is 9223372036854775807", "1 to 1048576"], status: 64),
    Refusal(
      "the best of too many",
      [
        "generate", Workshop.run, "--count", "1024", "--best-of", "1025", "--reward-model",
        Workshop.run,
      ], says: ["--best-of is 1025", "1 to 1024"], status: 64),
    Refusal(
      "no such part", ["evaluate", Workshop.run, "--part", "middle"], says: ["middle", "held-out"],
      status: 64),
    Refusal(
      "no such precision",
      ["dump", "--model", "exported", "--batch", "b", "--output", "o", "--precision", "float8"],
      says: ["float8", "float64"], status: 64),
    Refusal(
      "a benchmark without vocabulary", ["benchmark", "tiny.yaml"],
      says: ["model.vocabulary is 0", "2 or more"], status: 64),
    Refusal(
      "a benchmark with fewer sequences than ranks",
      [
        "benchmark", "tiny.yaml", "--set", "model.vocabulary=300", "--set", "training.batch=1",
        "--ranks-in-process", "2",
      ], says: ["training.batch is 1", "2 or more"], status: 64),
  ]

  @Test(arguments: commandLines)
  func `a command line that cannot be meant is refused`(refusal: Refusal) throws {
    let outcome = try Workshop.shared().run(refusal.arguments)
    expectRefusal(outcome, status: refusal.status, says: refusal.says)
  }
}
