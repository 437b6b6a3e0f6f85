// Checkpoints of split parameters: whole in the files, whichever layout wrote them or reads them.

import Foundation
import Kernels
import Parallel
import Synchronization
import Tensors
import Testing
import Training

@Suite struct LayoutCheckpointTests {
  static let layouts = [
    (8, ""), (8, "tensor=2"), (8, "tensor=2,expert=2,expert-tensor=2"), (8, "tensor=8,expert=4"),
    (8, "tensor=4,expert=2,expert-tensor=4"), (3, ""), (1, ""),
  ]

  private func onLayout<Result: Sendable>(
    _ index: Int, _ body: @escaping @Sendable (ProcessMesh) throws -> Result
  ) throws -> [Result] {
    let (ranks, text) = Self.layouts[index]
    return try InProcessRanks.run(ranks) { world in
      try body(ProcessMesh(world, layout: Layout(text, ranks: ranks)))
    }
  }

  @Test(arguments: Precision.allCases, layouts.indices)
  func `files hold whole tensors under any layout, and any layout reads them`(
    precision: Precision, writing: Int
  ) throws {
    let scratch = ScratchFolder()
    let path = try onLayout(writing) { mesh in
      let set = StoredSet(on: mesh, precision: precision, seed: 1)
      set.fill()
      return try set.save(to: CheckpointStore(folder: scratch.path, run: "run"), step: 7)
    }[0]
    let folder = try CheckpointFolder(path: path)
    try folder.verify()
    for (kind, prefixes) in [("model", [""]), ("optimizer", ["first.", "second."])] {
      let source = try folder.tensors(kind)
      #expect(source.tensors.count == prefixes.count * StoredSet.declarations.count)
      for (offset, prefix) in prefixes.enumerated() {
        for (index, declared) in StoredSet.declarations.enumerated() {
          let name = prefix + declared.name
          #expect(source.description(of: name)?.shape == declared.shape)
          let values = try source.doubles(name)
          let wrong = values.indices.first {
            values[$0] != StoredSet.made(kind == "model" ? 0 : offset + 1, index, $0)
          }
          #expect(wrong == nil, "\(name)")
        }
      }
    }
    // Nobody writes more than an even share and the largest tensor.
    let (ranks, _) = Self.layouts[writing]
    let files = folder.files.filter { $0.name.hasPrefix("optimizer") }
    let largest = 1031 * 300 * precision.bytes
    let total = files.reduce(0) { $0 + $1.bytes }
    #expect(files.count == ranks)
    #expect(files.allSatisfy { $0.bytes <= total / ranks + largest + 4096 })
    for reading in Self.layouts.indices {
      let differences = try onLayout(reading) { mesh in
        let set = StoredSet(on: mesh, precision: precision, seed: 2)
        try set.load(path)
        return set.differences
      }
      #expect(differences.allSatisfy { $0.isEmpty }, "\(differences)")
    }
  }

  @Test(arguments: [1, 2, 4])
  func `what goes to another layout and back has not changed by a bit`(other: Int) throws {
    let scratch = ScratchFolder()
    let first = try onLayout(2) { mesh in
      try StoredSet(on: mesh, precision: .float32, seed: 3)
        .save(to: CheckpointStore(folder: scratch.path, run: "run"), step: 1)
    }[0]
    var last = first
    for (step, layout) in [(2, other), (3, 2)] {
      let from = last
      last = try onLayout(layout) { mesh in
        let set = StoredSet(on: mesh, precision: .float32, seed: 4)
        try set.load(from)
        return try set.save(to: CheckpointStore(folder: scratch.path, run: "run"), step: step)
      }[0]
    }
    let sums = try [first, last].map { try CheckpointFolder(path: $0).files.map(\.sha256) }
    #expect(sums[0] == sums[1])
    #expect(first != last)
  }

  @Test func `a run in single precision goes on in double, and back to the same bits`() throws {
    let scratch = ScratchFolder()
    var paths: [String] = []
    for (step, precision) in [(1, Precision.float32), (2, .float64), (3, .float32)] {
      let from = paths.last
      paths += try onLayout(1) { mesh in
        let set = StoredSet(on: mesh, precision: precision, seed: 5)
        if let from { try set.load(from) }
        return try set.save(to: CheckpointStore(folder: scratch.path, run: "run"), step: step)
      }.prefix(1)
    }
    let sums = try paths.map { try CheckpointFolder(path: $0).files.map(\.sha256) }
    #expect(sums[0] == sums[2] && sums[0] != sums[1])
  }

  @Test(arguments: 0..<8)
  func `a rank that cannot write ends the save on all, with its coordinates`(rank: Int) throws {
    let scratch = ScratchFolder()
    let said = try onLayout(2) { mesh in
      // Full after some blocks of the first file.
      let isFull = mesh.world.rank == rank
      let writes = Mutex(0)
      let disk = Disk { operation in
        guard case .write = operation, isFull else { return }
        let count = writes.withLock { count in
          count += 1
          return count
        }
        if count > 2 { throw FileError("disk", "No space left on device") }
      }
      let store = try CheckpointStore(folder: scratch.path, run: "run", disk: disk)
      let set = StoredSet(on: mesh, precision: .float64, seed: 1)
      return errorText { _ = try set.save(to: store, step: 1) }
    }
    let position = MeshPosition(
      try Layout("tensor=2,expert=2,expert-tensor=2", ranks: 8), rank: rank)
    #expect(said == said.map { _ in "\(position): disk: No space left on device" })
    #expect(try CheckpointStore(folder: scratch.path, run: "run").newest() == nil)
  }

  @Test func `tensors that are missing, left over or of another shape are named`() throws {
    let scratch = ScratchFolder()
    let path = try onLayout(6) { mesh in
      try StoredSet(on: mesh, precision: .float32, seed: 1)
        .save(to: CheckpointStore(folder: scratch.path, run: "run"), step: 1)
    }[0]
    func refusal(_ shape: [Int], named name: String) throws -> String {
      let set = ParameterSet()
      for declared in StoredSet.declarations.dropLast() {
        _ = set.declare(declared.name, declared.shape, .constant(0))
      }
      _ = set.declare(name, shape, .constant(0))
      set.allocate(on: try! Device(precision: .float32, threads: 1), mesh: .single(), seed: 1)
      let source = try CheckpointFolder(path: path).tensors("model")
      return errorText { try set.load(source) }
    }
    #expect(try refusal([70, 71], named: "shared") == "")
    #expect(try refusal([71, 70], named: "shared").contains("shape [70, 71]; [71, 70] is wanted"))
    #expect(
      try refusal([70, 71], named: "other").contains("missing other; left over shared"))
  }
}
