// Bytes between ranks that are threads of one process: each reads from the others' memory.

import Glibc
import Kernels
import Synchronization

/// One rank's end of a group of threads; the twin of `MPITransport`.
///
/// It also says what Open MPI keeps silent about: ranks that meet different collectives or
/// disagree about counts, and ranks that all wait for each other, fail the run.
final class ThreadTransport: Transport {
  private let group: ThreadGroup
  let rank: Int
  var size: Int { group.members.count }

  init(group: ThreadGroup, rank: Int) {
    self.group = group
    self.rank = rank
  }

  func split(color: Int) -> any Transport {
    publish(Offer(kind: .split, color: color))
    let colors = (0..<size).map { group.offers[$0].color }
    let members = (0..<size).filter { colors[$0] == color }
    if members[0] == rank {
      group.offers[rank].group = ThreadGroup(
        members: members.map { group.members[$0] }, run: group.run)
    }
    meet()
    let part = group.offers[members[0]].group!
    meet()
    return ThreadTransport(group: part, rank: members.firstIndex(of: rank)!)
  }

  func barrier() {
    publish(Offer(kind: .barrier))
    meet()
  }

  func allToAll(
    _ send: UnsafeRawPointer, counts sendCounts: [Int], offsets sendOffsets: [Int],
    into receive: UnsafeMutableRawPointer, counts receiveCounts: [Int]
  ) {
    publish(Offer(kind: .allToAll, memory: send, counts: sendCounts, offsets: sendOffsets))
    var target = receive
    for peer in 0..<size {
      let counts = group.offers[peer].counts
      guard counts[rank] == receiveCounts[peer] else {
        fail(
          "rank \(group.members[peer]) sends \(counts[rank]) bytes, \(receiveCounts[peer]) expected"
        )
      }
      if counts[rank] > 0 {
        let source = group.offers[peer]
        memcpy(target, source.memory! + source.offsets[rank], counts[rank])
      }
      target += receiveCounts[peer]
    }
    meet()
  }

  func allGather(_ memory: UnsafeMutableRawPointer, counts: [Int]) {
    publish(Offer(kind: .allGather, memory: UnsafeRawPointer(memory), counts: counts))
    let offsets = counts.offsets
    for step in 1..<max(size, 1) where size > 1 {
      let peer = (rank + step) % size
      guard group.offers[peer].counts == counts else {
        fail(
          "rank \(group.members[peer]) gathers \(group.offers[peer].counts) bytes, not \(counts)")
      }
      if counts[peer] > 0 {
        memcpy(memory + offsets[peer], group.offers[peer].memory! + offsets[peer], counts[peer])
      }
    }
    meet()
  }

  func start(_ plan: ExchangePlan, tag: Int) -> any StartedExchange {
    ThreadExchange(plan, tag: tag, group: group, rank: rank)
  }

  var isOver: Bool { group.run.isFailed }

  func progress() {}

  var spansMachines: Bool { false }

  func abort(_ error: any Error, speaker: String, code: Int32) -> Never {
    group.run.fail(RankError(speaker: speaker, error: error))
    // As the death of a process would: nothing of the rank is unwound, no lock is held.
    pthread_exit(nil)
  }

  /// Shows the others what this rank brings, and returns when all have.
  private func publish(_ offer: Offer) {
    group.offers[rank] = offer
    meet()
    for peer in 0..<size where group.offers[peer].kind != offer.kind {
      fail("rank \(group.members[peer]) came for \(group.offers[peer].kind), not \(offer.kind)")
    }
  }

  private func meet() {
    if let failure = group.meet() { group.end(rank, failure) }
  }

  private func fail(_ text: String) -> Never { group.end(rank, .init(text: text)) }
}

/// Ranks that met different collectives, or counts, or wait for each other for ever.
public struct RanksOutOfStep: Error, CustomStringConvertible {
  let text: String
  public var description: String { "mismatched collectives: \(text)" }
}

/// What a rank brings to a collective.
struct Offer {
  enum Kind { case split, barrier, allToAll, allGather }
  var kind: Kind
  var color = 0
  var memory: UnsafeRawPointer?
  var counts: [Int] = []
  var offsets: [Int] = []
  var group: ThreadGroup?
}

/// What the threads of one group share.
// @unchecked: an offer is written by its own rank and read by others only between two meetings;
// everything else that changes is atomic or guarded by the mutex.
final class ThreadGroup: @unchecked Sendable {
  struct Failure { var text: String? }

  /// The group's ranks as numbered in the run.
  let members: [Int]
  let run: ThreadRun
  let offers: UnsafeMutablePointer<Offer>
  /// Exchanges under way, by their tags; changed while the mutex is held.
  var postings: [Int: ThreadExchange.Posting] = [:]
  private let meetings = Atomic<Int>(0)
  /// Ranks that wait for news of exchanges under way, and how often there were any.
  private var waitingForNews = 0
  private var news = 0
  private var arrived = 0
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let completed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init(members: [Int], run: ThreadRun) {
    self.members = members
    self.run = run
    offers = .allocate(capacity: members.count)
    offers.initialize(repeating: Offer(kind: .barrier), count: members.count)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(completed, nil)
  }

  deinit {
    offers.deinitialize(count: members.count)
    offers.deallocate()
    pthread_cond_destroy(completed)
    pthread_mutex_destroy(mutex)
    completed.deallocate()
    mutex.deallocate()
  }

  /// Returns when all members have come, or with the reason why they never will.
  func meet() -> Failure? {
    if run.isFailed { return Failure() }
    pthread_mutex_lock(mutex)
    let meeting = meetings.load(ordering: .relaxed)
    arrived += 1
    if arrived == members.count {
      arrived = 0
      run.stopWaiting(members.count - 1)
      meetings.store(meeting + 1, ordering: .releasing)
      pthread_cond_broadcast(completed)
      pthread_mutex_unlock(mutex)
      return nil
    }
    run.wait()
    pthread_mutex_unlock(mutex)
    // Yielding a little spares the sleep when all run at once.
    for _ in 0..<64 {
      if meetings.load(ordering: .acquiring) != meeting { return nil }
      sched_yield()
    }
    return locked {
      sleep { meetings.load(ordering: .acquiring) == meeting }
    }
  }

  /// Runs `body` while no other rank of the group runs another.
  func locked<Result>(_ body: () -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }

  /// Something about exchanges under way has changed; called while the mutex is held.
  func wakeAll() {
    run.stopWaiting(waitingForNews)
    waitingForNews = 0
    news += 1
    pthread_cond_broadcast(completed)
  }

  /// Returns when `isHeld` no longer holds, or with the reason why it always will.
  func waitForNews(while isHeld: () -> Bool) -> Failure? {
    locked {
      while isHeld() {
        run.wait()
        waitingForNews += 1
        let known = news
        if let failure = sleep(while: { news == known }) { return failure }
      }
      return nil
    }
  }

  /// Ends a rank of the group, and with it the run.
  func end(_ rank: Int, _ failure: Failure) -> Never {
    if let text = failure.text {
      let speaker = "rank \(members[rank])"
      run.fail(RankError(speaker: speaker, error: RanksOutOfStep(text: text)))
    }
    pthread_exit(nil)
  }

  /// Sleeps while `isHeld`; called while the mutex is held. Gives the reason why it will not end.
  private func sleep(while isHeld: () -> Bool) -> Failure? {
    while isHeld() {
      // Failure of another group's rank wakes nobody here, so waiting looks up now and then.
      var until = timespec()
      clock_gettime(CLOCK_REALTIME, &until)
      until.tv_nsec += 20_000_000
      if until.tv_nsec >= 1_000_000_000 {
        until.tv_nsec -= 1_000_000_000
        until.tv_sec += 1
      }
      let status = pthread_cond_timedwait(completed, mutex, &until)
      guard status == ETIMEDOUT, isHeld() else { continue }
      if run.isFailed { return Failure() }
      if run.isStuck { return Failure(text: "no rank can go on: each waits or has ended") }
    }
    return nil
  }
}
