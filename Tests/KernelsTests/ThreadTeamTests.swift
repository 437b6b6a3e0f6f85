// The team: every task once, results there when `run` returns, memory of one's own.

import Glibc
import Kernels
import Testing

@Test(arguments: [1, 2, 3, 5])
func `every task of every job runs once, however short the jobs`(_ size: Int) {
  let team = ThreadTeam(size: size)
  let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 64)
  defer { counts.deallocate() }
  counts.initialize(repeating: 0, count: 64)
  var expected = [Int32](repeating: 0, count: 64)
  for job in 0..<2000 {
    let tasks = (job * 7919) % 64
    team.run(tasks) { task, _ in counts[task] += 1 }
    for task in 0..<tasks { expected[task] += 1 }
    // Read at once: a task still under way would be missed.
    #expect(counts[max(tasks - 1, 0)] == expected[max(tasks - 1, 0)])
  }
  #expect((0..<64).map { counts[$0] } == expected)
}

@Test func `workers that have gone to sleep take part again`() {
  let team = ThreadTeam(size: 3)
  for pause in [0, 1000, 20_000, 100_000] as [UInt32] {
    usleep(pause)
    let results = UnsafeMutablePointer<Int>.allocate(capacity: 1000)
    defer { results.deallocate() }
    team.run(1000) { task, _ in results[task] = task * task }
    #expect((0..<1000).allSatisfy { results[$0] == $0 * $0 })
  }
}

@Test func `each worker has scratch memory of its own, aligned and kept`() {
  let team = ThreadTeam(size: 4)
  let first = (0..<4).map { team.scratch(bytes: 1000, worker: $0) }
  #expect(Set(first).count == 4)
  #expect(first.allSatisfy { UInt(bitPattern: $0) % 64 == 0 })
  #expect((0..<4).map { team.scratch(bytes: 10, worker: $0) } == first)
}

@Test(arguments: [1, 3])
func `whoever watches a team does each kernel's work, and is told its name`(_ size: Int) {
  let team = ThreadTeam(size: size)
  let (a, b) = (Sample(40, 40, .float32), Sample(40, 40, .float32))
  var names: [String] = []
  team.watch = { kernel, work in
    names.append(kernel.description)
    work()
  }
  fill(a.matrix, 2, team: team)
  product(a.matrix, a.matrix, into: b.matrix, team: team)
  team.watch = nil
  fill(a.matrix, 3, team: team)
  #expect(names == ["Elementwise.fillSpans", "Products.product"])
  #expect(b[7, 9] == 40 * 4 && a[39, 39] == 3)
}
