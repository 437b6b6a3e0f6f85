// A fixed team of threads that share the tasks of one kernel at a time.

import CBLAS
import Glibc
import Synchronization

/// Threads that run numbered tasks; the caller is one of them.
///
/// One team belongs to one rank and is used from one thread at a time. A team of one starts no
/// thread. Workers spin for some microseconds between kernels, then sleep. A worker that is asleep
/// or gets no core delays nobody: the caller waits for tasks, not for workers.
// @unchecked: the job's fields are written by the caller before it offers tasks in `ticket` and read
// by workers only once they have claimed one, while the caller waits for it (release/acquire).
public final class ThreadTeam: @unchecked Sendable {
  public let size: Int
  /// Does the work of each kernel where it is set, and sees which it is and how long it takes.
  public var watch: ((_ kernel: KernelName, _ work: () -> Void) -> Void)?
  private var job: ((Int, Int) -> Void)?
  private var taskCount = 0
  /// The job's number in the high half, how many of its tasks nobody has claimed in the low half.
  private let ticket = Atomic<UInt64>(0)
  private let unfinished = Atomic<Int>(0)
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
    ticket.add(1 << 32, ordering: .sequentiallyConsistent)
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
  public func run(
    _ tasks: Int, function: StaticString = #function, file: StaticString = #fileID,
    _ body: (_ task: Int, _ worker: Int) -> Void
  ) {
    guard let watch else { return share(tasks, body) }
    watch(KernelName(function: function, file: file)) { share(tasks, body) }
  }

  private func share(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    guard size > 1 && tasks > 1 else {
      for task in 0..<tasks { body(task, 0) }
      return
    }
    require(tasks <= Int(UInt32.max), "\(tasks) tasks")
    withoutActuallyEscaping(body) { escaping in
      job = escaping
      taskCount = tasks
      unfinished.store(tasks, ordering: .relaxed)
      let number = (ticket.load(ordering: .relaxed) >> 32) &+ 1
      ticket.store(number << 32 | UInt64(tasks), ordering: .sequentiallyConsistent)
      if sleeping.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
      }
      takeTasks(as: 0)
      var spins = 0
      while unfinished.load(ordering: .acquiring) > 0 {
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
    require(
      posix_memalign(&base, 64, max(bytes, 64)) == 0, "no memory for \(bytes) bytes of scratch")
    scratchMemory[worker] = (base, max(bytes, 64))
    return base!
  }

  private func takeTasks(as worker: Int) {
    let done = runTasks(as: worker)
    if done > 0 { unfinished.subtract(done, ordering: .releasing) }
  }

  /// Runs what is left to claim; tells how many tasks that was. Until they count as finished there is
  /// no other job.
  // Not inlined: the job must be let go before its tasks count as finished.
  @inline(never)
  private func runTasks(as worker: Int) -> Int {
    guard let first = claim() else { return 0 }
    let job = job!
    job(first, worker)
    var done = 1
    while let task = claim() {
      job(task, worker)
      done += 1
    }
    return done
  }

  /// The next task that nobody has claimed.
  private func claim() -> Int? {
    var seen = ticket.load(ordering: .acquiring)
    while seen & 0xFFFF_FFFF > 0 {
      // The number in the high half keeps a late worker from claiming a task of a later job as one
      // of an earlier.
      let (claimed, current) = ticket.weakCompareExchange(
        expected: seen, desired: seen - 1, ordering: .acquiringAndReleasing)
      if claimed { return taskCount - Int(seen & 0xFFFF_FFFF) }
      seen = current
    }
    return nil
  }

  private func work(as worker: Int) {
    var seen: UInt64 = 0
    while true {
      var spins = 0
      while ticket.load(ordering: .acquiring) >> 32 == seen {
        spin_pause()
        spins += 1
        if spins > 20_000 {
          pthread_mutex_lock(mutex)
          sleeping.add(1, ordering: .sequentiallyConsistent)
          while ticket.load(ordering: .sequentiallyConsistent) >> 32 == seen {
            pthread_cond_wait(wake, mutex)
          }
          sleeping.subtract(1, ordering: .sequentiallyConsistent)
          pthread_mutex_unlock(mutex)
        }
      }
      seen = ticket.load(ordering: .acquiring) >> 32
      if stopping.load(ordering: .sequentiallyConsistent) { return }
      takeTasks(as: worker)
    }
  }
}
