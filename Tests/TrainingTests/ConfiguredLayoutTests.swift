// Layouts of a configuration and of the command line over it, and what is suggested for impossible ones.

import Parallel
import Testing
import Training

@Suite struct ConfiguredLayoutTests {
  private func configuration(
    _ change: (inout RunConfiguration) -> Void = { _ in }
  ) -> RunConfiguration {
    var configuration = RunConfiguration()
    configuration.model.router.experts = 4
    configuration.model.heads = 2
    configuration.model.keyValueHeads = 2
    configuration.training.batch = 4
    change(&configuration)
    return configuration
  }

  @Test func `the command line's layout goes over the configured sizes, and leaves the rest`()
    throws
  {
    var run = configuration {
      $0.layout.tensor = 2
      $0.layout.dispatch = .gather
    }
    try run.takeLayout(nil, ranks: 8)
    #expect(run.layout.tensor == 2 && run.layout.data == 0)
    try run.takeLayout("expert=4", ranks: 8)
    #expect(
      try run.resolvedLayout(ranks: 8).description
        == "data=4,tensor=2,expert-data=2,expert=4,expert-tensor=1")
    #expect(run.layout.dispatch == .gather)
    var other = configuration { ($0.layout.tensor, $0.layout.expert) = (2, 4) }
    try other.takeLayout("tensor=1", ranks: 4)
    #expect(
      try other.resolvedLayout(ranks: 4).description
        == "data=4,tensor=1,expert-data=1,expert=4,expert-tensor=1")
  }

  @Test func `a layout that contradicts a configured size is refused with both`() {
    var run = configuration { $0.layout.data = 4 }
    let error = #expect(throws: LayoutError.self) { try run.takeLayout("tensor=4", ranks: 8) }
    #expect(
      error?.description.hasPrefix("layout 'data=4,tensor=4' is impossible on 8 ranks") == true)
    #expect(run.layout == configuration { $0.layout.data = 4 }.layout)
  }

  @Test(arguments: [6, 12])
  func `the nearest layouts are those that model and batch allow`(ranks: Int) throws {
    // Six data ranks are more than the batch has sequences, three tensor ranks more than heads.
    let run = configuration { $0.training.batch = ranks / 2 }
    func suggested(_ suggest: () throws -> Void) throws -> [Layout] {
      let error = #expect(throws: LayoutError.self) { try suggest() }
      let text = try #require(error?.description.split(separator: "nearest: ").last)
      return try text.split(separator: "; ").map { try Layout(String($0), ranks: ranks) }
    }
    let blind = try suggested { _ = try Layout("tensor=5", ranks: ranks) }
    #expect(!blind.allSatisfy(run.allows))
    let seeing = try suggested {
      var run = run
      try run.takeLayout("tensor=5", ranks: ranks)
    }
    #expect(!seeing.isEmpty && seeing.allSatisfy(run.allows), "\(seeing)")
    let one = configuration { $0.training.batch = 1 }
    let error = #expect(throws: LayoutError.self) {
      var one = one
      try one.takeLayout("tensor=5", ranks: ranks)
    }
    #expect(error?.description.hasSuffix("; no other would do") == true)
  }

  @Test func `what a checkpoint holds says nothing of a layout`() throws {
    let plain = configuration()
    let split = configuration {
      $0.layout.tensor = 2
      $0.layout.dispatch = .gather
    }
    #expect(split.checkpointYAML == plain.checkpointYAML)
    #expect(!split.checkpointYAML.contains("layout"))
    #expect(try RunConfiguration.read(yaml: split.checkpointYAML, file: "saved") == plain)
  }
}
