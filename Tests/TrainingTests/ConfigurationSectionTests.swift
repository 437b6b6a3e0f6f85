// Whether the sections of a run agree with their meanings, their text and each other.

import Foundation
import Testing
import Training
import Transformer

@Suite struct `Configuration sections` {
  /// Every section of a run, found by walking the properties.
  static let sections: [any ConfigurationSection] = {
    func below(_ section: any ConfigurationSection) -> [any ConfigurationSection] {
      [section]
        + Mirror(reflecting: section).children.compactMap { $0.value as? any ConfigurationSection }
        .flatMap(below)
    }
    return below(RunConfiguration())
  }()

  @Test func `every setting has one meaning and every meaning a setting`() {
    #expect(Self.sections.count == 19)
    for section in Self.sections {
      let names = Mirror(reflecting: section).children.compactMap(\.label)
      #expect(Set(names) == Set(type(of: section).meanings.keys), "\(type(of: section))")
      for (name, meaning) in type(of: section).meanings {
        #expect(!meaning.isEmpty && !meaning.contains("\n"), "\(type(of: section)).\(name)")
      }
    }
  }

  @Test func `the defaults are in range`() throws {
    try RunConfiguration().validate()
    #expect(try RunConfiguration.read(settings: []) == RunConfiguration())
  }

  @Test func `every setting can be set and nothing else changes`() throws {
    let defaults = RunConfiguration()
    #expect(defaults.settings.count > 60)
    for setting in defaults.settings {
      let other =
        switch setting.value {
        case .whole(let value): "\(value + 1)"
        case .number(let value): "\(value + 0.125)"
        case .flag(let value): "\(!value)"
        case .text(let value): "\(value) 'or' \"another\": # all"
        case .choice(let value, let choices): choices.first { $0 != value } ?? ""
        case .wholes: "[3, 1]"
        }
      var overlay = ConfigurationOverlay<RunConfiguration>()
      try overlay.set("\(setting.path)=\(other)")
      let changed = overlay.resolved()
      let differences = changed.differences(from: defaults)
      #expect(differences.map(\.path) == [setting.path])
      #expect(changed.canonicalText != defaults.canonicalText)
      #expect(defaults.differences(from: changed).map(\.other) == differences.map(\.value))
    }
  }

  @Test(arguments: [
    "yes", "null", "~", "1.5", "#x", "a: b", "- a", " led", "trailed ", "\"quoted\\\"", "'",
    "two\nlines\n", "\ttab\r", "ἐν ἀρχῇ ἦν ὁ λόγος", "🦅 swift", "\u{85}\u{2028}\u{feff}x", "[1]",
    "{a: 1}", "&a", "*a", "!t", "%x", "@x", "`", "|", ">", "e\u{301}", "\u{7f}\u{1}",
  ])
  func `text of any kind reads back equal`(text: String) throws {
    var configuration = RunConfiguration()
    configuration.samples.prompt = text
    for yaml in [configuration.yaml, configuration.commentedYAML] {
      let read = try RunConfiguration.read(yaml: yaml, file: "text")
      #expect(Array(read.samples.prompt.unicodeScalars) == Array(text.unicodeScalars))
      #expect(read == configuration)
    }
  }

  @Test(arguments: [
    0.1 + 0.2, .leastNonzeroMagnitude, 1.7976931348623157e308, 1e22, 123456789.123456789, 1e-5, 3,
    2.0 / 3,
  ])
  func `a number reads back with every bit`(number: Double) throws {
    var configuration = RunConfiguration()
    configuration.optimizer.learningRate = number
    configuration.model.denseLayers = [0, 4]
    configuration.model.denseWidth = 7
    let read = try RunConfiguration.read(yaml: configuration.yaml, file: "text")
    #expect(read.optimizer.learningRate.bitPattern == number.bitPattern)
    #expect(read == configuration)
  }

  @Test func `every section survives JSON, which other files keep it in`() throws {
    var configuration = RunConfiguration()
    configuration.schedule.kind = .warmupStableDecay
    configuration.evaluation.part = .validation
    let data = try JSONEncoder().encode(configuration)
    #expect(try JSONDecoder().decode(RunConfiguration.self, from: data) == configuration)
  }

  @Test func `what changes learning is told from what is only shown`() {
    let apart = RunConfiguration().settings.map(\.path).filter {
      !RunConfiguration.changesLearning($0)
    }
    #expect(apart.contains("run.name") && apart.contains("display.every"))
    #expect(!apart.contains("run.seed") && !apart.contains("run.precision"))
    #expect(!apart.contains { $0.hasPrefix("model.") || $0.hasPrefix("optimizer.") })
  }

  @Test func `a difference names the setting and both values`() {
    var other = RunConfiguration()
    other.model.width = 128
    other.schedule.kind = .linear
    #expect(
      RunConfiguration().differences(from: other).map(\.description) == [
        "model.width is 256 here, 128 there", "schedule.kind is cosine here, linear there",
      ])
  }
}
