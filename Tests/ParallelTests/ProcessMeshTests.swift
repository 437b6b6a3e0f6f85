// The mesh's groups against brute force over all positions.

import Parallel
import Testing

@Suite struct ProcessMeshTests {
  @Test func `a group of an axis holds the ranks that differ on that axis alone`() throws {
    try onRanks { world, checks in
      for layout in Layout.all(ranks: world.size) {
        let mesh = ProcessMesh(world, layout: layout)
        for axis in MeshAxis.allCases {
          let grid: [MeshAxis] =
            axis == .data || axis == .tensor
            ? [.data, .tensor] : [.expertData, .expert, .expertTensor]
          let expected = (0..<world.size).filter { rank in
            grid.allSatisfy {
              $0 == axis
                || MeshPosition(layout, rank: rank).coordinate($0) == mesh.position.coordinate($0)
            }
          }
          let group = mesh.communicator(axis)
          checks.equal(group.gather(world.rank), expected, "\(layout) \(axis)")
          checks.equal(
            group.rank, mesh.position.coordinate(axis), "\(layout) coordinate on \(axis)")
          checks.equal(group.size, layout[axis], "\(layout) size of \(axis)")
        }
      }
    }
  }

  @Test func `replicas are the ranks that hold the same slice`() throws {
    let placements: [(Placement, [Int])] = [
      (.whole, [64]),
      (.split(0, over: .tensor), [64]),
      (.split(0, over: .expert), [64, 8]),
      (.split(0, over: .expert).split(1, over: .expertTensor), [64, 8]),
      (.split(1, over: .expertTensor), [64, 8]),
      (.split(0, over: .tensor, parts: 2), [64, 8]),
      (.split(0, over: .tensor, parts: 1), [64, 8]),
    ]
    try onRanks { world, checks in
      for layout in Layout.all(ranks: world.size) where layout.tensor != 3 {
        let mesh = ProcessMesh(world, layout: layout)
        for (placement, shape) in placements {
          let mine = placement.slice(of: shape, at: mesh.position)
          let expected = (0..<world.size).filter {
            placement.slice(of: shape, at: MeshPosition(layout, rank: $0)) == mine
          }
          let replicas = mesh.replicas(of: placement)
          checks.equal(replicas.gather(world.rank), expected, "\(layout) \(placement)")
          checks.expect(replicas === mesh.replicas(of: placement), "another object")
        }
        checks.expect(mesh.replicas(of: .whole) === world, "whole is not the world")
        checks.expect(
          mesh.replicas(of: .split(0, over: .tensor)) === mesh.communicator(.data),
          "replicas of a tensor split are not the data group")
      }
    }
  }

  @Test func `the mesh tells the world its coordinates`() throws {
    try onRanks([8]) { world, checks in
      let mesh = ProcessMesh(world, layout: try Layout("tensor=2,expert=4", ranks: 8))
      checks.equal(
        world.speaker, MeshPosition(mesh.layout, rank: world.rank).description, "speaker")
    }
  }
}
