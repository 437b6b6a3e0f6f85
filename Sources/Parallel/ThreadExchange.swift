// An exchange between threads that is under way: each rank takes what is for it when it looks.

import Glibc
import Kernels

/// The twin of `MPIExchange`: done when this rank has read from all, and all from this rank.
final class ThreadExchange: StartedExchange {
  private let group: ThreadGroup
  private let rank: Int
  private let posting: Posting
  private let plan: ExchangePlan
  private let tag: Int
  private var hasRead = false
  private var isDone = false

  /// What the ranks of a group brought under one tag.
  // @unchecked: changes only while the group's mutex is held.
  final class Posting: @unchecked Sendable {
    var plans: [ExchangePlan?]
    /// Ranks that have read all that is for them, and that know that all have.
    var readers = 0
    var leavers = 0

    init(ranks: Int) { plans = .init(repeating: nil, count: ranks) }
  }

  init(_ plan: ExchangePlan, tag: Int, group: ThreadGroup, rank: Int) {
    self.group = group
    self.rank = rank
    self.plan = plan
    self.tag = tag
    posting = group.locked {
      let posting = group.postings[tag] ?? Posting(ranks: group.members.count)
      group.postings[tag] = posting
      posting.plans[rank] = plan
      group.wakeAll()
      return posting
    }
  }

  func poll() -> Bool {
    if isDone { return true }
    let plans = group.locked { posting.plans }
    if !hasRead && !plans.contains(where: { $0 == nil }) {
      read(plans.map { $0! })
      hasRead = true
      group.locked {
        posting.readers += 1
        group.wakeAll()
      }
    }
    group.locked {
      guard posting.readers == group.members.count else { return }
      isDone = true
      posting.leavers += 1
      if posting.leavers == group.members.count { group.postings[tag] = nil }
    }
    return isDone
  }

  func wait() {
    while !poll() {
      if let failure = group.waitForNews(while: { !self.canGoOn }) {
        group.end(rank, failure)
      }
    }
  }

  /// Called with the group's mutex held.
  private var canGoOn: Bool {
    hasRead
      ? posting.readers == group.members.count : !posting.plans.contains(where: { $0 == nil })
  }

  private func read(_ plans: [ExchangePlan]) {
    for peer in plans.indices where peer != rank {
      let source = plans[peer]
      guard source.sendCounts[rank] == plan.receiveCounts[peer] else {
        group.end(
          rank,
          .init(
            text: """
              rank \(group.members[peer]) sends \(source.sendCounts[rank]) bytes, \
              \(plan.receiveCounts[peer]) expected
              """))
      }
      if plan.receiveCounts[peer] > 0 {
        memcpy(
          plan.receive + plan.receiveOffsets[peer], source.send + source.sendOffsets[rank],
          plan.receiveCounts[peer])
      }
    }
  }
}
