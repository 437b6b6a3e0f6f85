// Whether the configurations that come with the project can be used as they are.

import Foundation
import Parallel
import Testing
import Training

@Suite struct `Configuration files` {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appending(path: "../../configs").standardized.path
  static let files: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
    .filter { $0.hasSuffix(".yaml") }.sorted()

  @Test func `the configurations that the guide names are there`() {
    let named = ["bench-a.yaml", "bench-b.yaml", "bench-c.yaml", "large.yaml", "quickstart.yaml"]
    #expect(Set(named + ["toy.yaml"]).isSubset(of: Self.files))
  }

  @Test(arguments: files)
  func `each opens with what it is, loads, and is named for its file`(file: String) throws {
    let path = "\(Self.folder)/\(file)"
    #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("# "))
    let configuration = try RunConfiguration.load(file: path)
    #expect("\(configuration.run.name).yaml" == file)
    let read = try RunConfiguration.read(yaml: configuration.yaml, file: "resolved")
    #expect(read == configuration)
    for ranks in [1, 2, 4] {
      try configuration.validate(try configuration.layout.layout(ranks: ranks))
    }
  }

  /// Layers, width, heads, key/value heads, experts, expert width, vocabulary, sequence, batch.
  @Test(arguments: [
    ("a", [4, 128, 4, 4, 8, 256, 1024, 128, 16]), ("b", [6, 256, 8, 4, 16, 512, 4096, 256, 8]),
    ("c", [8, 512, 8, 8, 8, 1024, 8192, 256, 4]),
  ])
  func `the peer sets have the sizes of the peers`(set: String, sizes: [Int]) throws {
    let run = try RunConfiguration.load(file: "\(Self.folder)/bench-\(set).yaml")
    let model = run.model
    #expect(
      sizes == [
        model.layers, model.width, model.heads, model.keyValueHeads, model.router.experts,
        model.router.expertWidth, model.vocabulary, run.data.sequenceLength, run.training.batch,
      ])
    #expect(model.router.expertsPerToken == 2)
  }
}
