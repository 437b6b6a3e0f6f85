// The wiring test finds nothing where groups are right, and names what is wrong where they are not.

import Kernels
import Parallel
import Tensors
import Testing

@Suite struct WiringTests {
  /// Parameters of all kinds of placement; six heads over key/value heads of two.
  private func parameters(_ mesh: ProcessMesh) throws -> ParameterSet {
    let set = ParameterSet()
    let experts = Placement.split(0, over: .expert)
    let declarations: [(String, [Int], Placement)] = [
      ("norm", [24], .whole),
      ("embedding", [50, 24], .split(0, over: .tensor)),
      ("query", [48, 24], .split(0, over: .tensor, parts: 8, groups: 2)),
      ("key", [12, 24], .split(0, over: .tensor, parts: 2)),
      ("output", [24, 48], .split(1, over: .tensor, parts: 8, groups: 2)),
      ("router", [16, 24], .whole),
      ("up", [16, 40, 24], experts.split(1, over: .expertTensor)),
      ("down", [16, 24, 40], experts.split(2, over: .expertTensor)),
      ("few", [3, 5], .split(0, over: .tensor)),
      ("head", [50, 24], .split(0, over: .tensor)),
    ]
    for (name, shape, placement) in declarations {
      _ = set.declare(name, shape, .constant(0), placement: placement)
    }
    try set.allocate(on: Device(precision: .float32, threads: 1), mesh: mesh, seed: 1)
    return set
  }

  private func error(_ body: () throws -> Void) -> String? {
    do { try body() } catch { return "\(error)" }
    return nil
  }

  @Test func `groups of every layout sum what the same ranks hold`() throws {
    try onRanks { world, checks in
      for layout in Layout.all(ranks: world.size) where layout.tensor != 3 {
        let set = try parameters(ProcessMesh(world, layout: layout))
        checks.equal(error { try set.checkWiring(over: world) }, nil, "\(layout)")
      }
    }
  }

  @Test func `more ranks than a window has bits are told apart`() throws {
    try onRanks([48]) { world, checks in
      let mesh = ProcessMesh(world, layout: try Layout("tensor=2,expert=16", ranks: 48))
      let set = try parameters(mesh)
      checks.equal(error { try set.checkWiring(over: world) }, nil, "right groups")
      let wrong = set.groups.map { group in
        (group.parameters[0].name == "up" ? world : group.replicas, group.parameters)
      }
      let found = error { try Wiring(wrong, world: world).check() }
      checks.expect(
        found?.contains(
          "of rank 0, is summed over ranks 0, 1, 2, 3, 4, 5, 6, 7 and 40 more; held by, and to be "
            + "summed over ranks 0, 16, 32; 2 parameters are wired wrong") == true,
        found ?? "nothing found")
    }
  }

  @Test func `gradients that are summed over the wrong ranks are named`() throws {
    try onRanks([4, 8]) { world, checks in
      let mesh = ProcessMesh(world, layout: try Layout("expert=2", ranks: world.size))
      let set = try parameters(mesh)
      let half = world.size / 2
      let rightful = stride(from: 0, to: world.size, by: 2).map(String.init).joined(separator: ", ")
      // The classic first: experts summed over all data ranks, of which half hold other experts.
      let faults: [(Communicator, String, String)] = [
        (world, "ranks \((0..<world.size).map(String.init).joined(separator: ", "))", rightful),
        (mesh.communicator(.expert), "ranks 0, 1", rightful),
        (.alone(), "rank 0", rightful),
        (
          world.split(color: world.rank / half, name: "halves"),
          "ranks \((0..<half).map(String.init).joined(separator: ", "))", rightful
        ),
      ]
      for (group, summed, held) in faults {
        let wrong = set.groups.map { known in
          (known.parameters[0].name == "up" ? group : known.replicas, known.parameters)
        }
        let found = error { try Wiring(wrong, world: world).check() }
        checks.equal(
          found,
          "wiring: the gradient of up, slice [0..<8, 0..<40, 0..<24] of rank "
            + "0, is summed over \(summed); held by, and to be summed over ranks \(held); "
            + "2 parameters are wired wrong", group.name)
      }
    }
  }

  @Test func `ranks that declare different parameters are told so`() throws {
    try onRanks([2, 3]) { world, checks in
      let set = ParameterSet()
      _ = set.declare("first", [4], .constant(0))
      _ = set.declare(world.rank == 1 ? "odd" : "second", [4], .constant(0))
      set.allocate(
        on: try Device(precision: .float64, threads: 1),
        mesh: ProcessMesh(world, layout: try Layout("", ranks: world.size)), seed: 1)
      let last = world.size == 3 ? ", second on rank 2" : ""
      checks.equal(
        error { try set.checkWiring(over: world) },
        "wiring: the ranks declare different parameters; number 2 is second on rank 0, "
          + "odd on rank 1\(last)", "message")
    }
  }

  @Test func `a large model's wiring is tested in a moment`() throws {
    try onRanks([1, 2, 8]) { world, checks in
      let mesh = ProcessMesh(
        world, layout: try Layout(world.size == 8 ? "tensor=2,expert=4" : "", ranks: world.size))
      let set = ParameterSet()
      for layer in 0..<64 {
        for name in ["q", "k", "v", "o", "norm", "router"] {
          _ = set.declare("\(layer).\(name)", [8, 8], .constant(0))
        }
        for name in ["up", "gate", "down"] {
          _ = set.declare(
            "\(layer).\(name)", [8, 8, 8], .constant(0), placement: .split(0, over: .expert))
        }
      }
      try set.allocate(on: Device(precision: .float32, threads: 1), mesh: mesh, seed: 1)
      let start = ContinuousClock.now
      checks.equal(error { try set.checkWiring(over: world) }, nil, "right groups")
      let took = ContinuousClock.now - start
      // Half a second is the bar where nobody else computes; other tests do.
      checks.expect(took < .seconds(5), "\(took)")
    }
  }
}
