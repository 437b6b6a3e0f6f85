// A fixed team of threads that share the tasks of one kernel at a time.

import CBLAS
import Glibc
import Synchronization

/// Threads that run numbered tasks; the caller is one of them.
///
/// One team belongs to one rank and is used from one thread at a time. A team of one starts no
/// thread. Workers spin for some microseconds between kernels, then sleep.
// @unchecked: the job's fields are written by the caller before `generation` is raised and read
// by workers after they see it raised (release/acquire), never at the same time.
public final class ThreadTeam: @unchecked Sendable {
  public let size: Int
  private var job: ((Int, Int) -> Void)?
  private var taskCount = 0
  private let nextTask = Atomic<Int>(0)
  private let generation = Atomic<Int>(0)
  private let running = Atomic<Int>(0)
  private let sleeping = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)
  private var threads: [pthread_t] = []
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  // One slot a worker, each touched by its worker alone.
  private let scratchMemory: UnsafeMutablePointer<(base: UnsafeMutableRawPointer?, bytes: Int)>

  /// Starts `size − 1` threads. OpenBLAS is told to use one thread a product: the team splits.
  public init(size: Int) {
    require(size >= 1, "a team of \(size) threads")
    self.size = size
    scratchMemory = .allocate(capacity: size)
    scratchMemory.initialize(repeating: (nil, 0), count: size)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    openblas_set_num_threads(1)
    for worker in 1..<max(size, 1) where size > 1 {
      let start = Unmanaged.passRetained(WorkerStart(team: self, worker: worker))
      var thread = pthread_t()
      let status = pthread_create(
        &thread, nil,
        { argument in
          let start = Unmanaged<WorkerStart>.fromOpaque(argument!).takeRetainedValue()
          start.team.work(as: start.worker)
          return nil
        }, start.toOpaque())
      require(status == 0, "pthread_create gave \(status)")
      threads.append(thread)
    }
  }

  private final class WorkerStart {
    unowned(unsafe) let team: ThreadTeam
    let worker: Int
    init(team: ThreadTeam, worker: Int) {
      self.team = team
      self.worker = worker
    }
  }

  deinit {
    stopping.store(true, ordering: .sequentiallyConsistent)
    generation.add(1, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)
    for thread in threads { pthread_join(thread, nil) }
    pthread_cond_destroy(wake)
    pthread_mutex_destroy(mutex)
    wake.deallocate()
    mutex.deallocate()
    for worker in 0..<size { free(scratchMemory[worker].base) }
    scratchMemory.deallocate()
  }

  /// Runs `body(task, worker)` for each task in 0 ..< tasks; returns when all are done.
  ///
  /// Which worker gets which task is left to chance: results must not depend on it.
  public func run(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    guard size > 1 && tasks > 1 else {
      for task in 0..<tasks { body(task, 0) }
      return
    }
    withoutActuallyEscaping(body) { escaping in
      job = escaping
      taskCount = tasks
      nextTask.store(0, ordering: .relaxed)
      running.store(size - 1, ordering: .relaxed)
      generation.add(1, ordering: .sequentiallyConsistent)
      if sleeping.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
      }
      takeTasks(as: 0)
      var spins = 0
      while running.load(ordering: .acquiring) > 0 {
        spin_pause()
        spins += 1
        if spins > 4096 { sched_yield() }
      }
      job = nil
    }
  }

  /// Memory of at least `bytes` that only this worker uses, 64-byte aligned, contents undefined.
  ///
  /// Valid until the worker's next call with a larger size.
  public func scratch(bytes: Int, worker: Int) -> UnsafeMutableRawPointer {
    if let base = scratchMemory[worker].base, scratchMemory[worker].bytes >= bytes { return base }
    free(scratchMemory[worker].base)
    var base: UnsafeMutableRawPointer?
    require(posix_memalign(&base, 64, max(bytes, 64)) == 0, "no memory for \(bytes) bytes of scratch")
    scratchMemory[worker] = (base, max(bytes, 64))
    return base!
  }

  private func takeTasks(as worker: Int) {
    let body = job!
    let count = taskCount
    while true {
      let task = nextTask.add(1, ordering: .relaxed).oldValue
      if task >= count { return }
      body(task, worker)
    }
  }

  private func work(as worker: Int) {
    var seen = 0
    while true {
      var spins = 0
      while generation.load(ordering: .acquiring) == seen {
        spin_pause()
        spins += 1
        if spins > 20_000 {
          pthread_mutex_lock(mutex)
          sleeping.add(1, ordering: .sequentiallyConsistent)
          while generation.load(ordering: .sequentiallyConsistent) == seen {
            pthread_cond_wait(wake, mutex)
          }
          sleeping.subtract(1, ordering: .sequentiallyConsistent)
          pthread_mutex_unlock(mutex)
        }
      }
      seen += 1
      if stopping.load(ordering: .sequentiallyConsistent) { return }
      takeTasks(as: worker)
      running.subtract(1, ordering: .releasing)
    }
  }
}
