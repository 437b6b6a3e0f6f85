// An exchange between threads that is under way: whoever starts it last copies for all.

import Glibc
import Kernels

/// The twin of `MPIExchange`: over as soon as every rank has started it, whoever looks and when.
final class ThreadExchange: StartedExchange {
  private let group: ThreadGroup
  private let rank: Int
  private let posting: Posting
  private let tag: Int
  private var isDone = false

  /// What the ranks of a group brought under one tag.
  // @unchecked: changes only while the group's mutex is held.
  final class Posting: @unchecked Sendable {
    var plans: [ExchangePlan?]
    var isComplete = false
    /// Ranks that know that it is.
    var leavers = 0

    init(ranks: Int) { plans = .init(repeating: nil, count: ranks) }
  }

  init(_ plan: ExchangePlan, tag: Int, group: ThreadGroup, rank: Int) {
    self.group = group
    self.rank = rank
    self.tag = tag
    let (posting, problem) = group.locked {
      let posting = group.postings[tag] ?? Posting(ranks: group.members.count)
      group.postings[tag] = posting
      posting.plans[rank] = plan
      guard !posting.plans.contains(where: { $0 == nil }) else { return (posting, nil as String?) }
      let problem = Self.copy(posting.plans.map { $0! }, members: group.members)
      posting.isComplete = problem == nil
      group.wakeAll()
      return (posting, problem)
    }
    self.posting = posting
    if let problem { group.end(rank, .init(text: problem)) }
  }

  func poll() -> Bool {
    if isDone { return true }
    group.locked {
      guard posting.isComplete else { return }
      isDone = true
      posting.leavers += 1
      if posting.leavers == group.members.count { group.postings[tag] = nil }
    }
    return isDone
  }

  func wait() {
    while !poll() {
      if let failure = group.waitForNews(while: { !self.posting.isComplete }) {
        group.end(rank, failure)
      }
    }
  }

  /// Moves everyone's bytes; says where two ranks disagree about a count.
  private static func copy(_ plans: [ExchangePlan], members: [Int]) -> String? {
    for (receiver, plan) in plans.enumerated() {
      for (sender, source) in plans.enumerated() where sender != receiver {
        guard source.sendCounts[receiver] == plan.receiveCounts[sender] else {
          return "rank \(members[sender]) sends rank \(members[receiver]) "
            + "\(source.sendCounts[receiver]) bytes, \(plan.receiveCounts[sender]) expected"
        }
        if plan.receiveCounts[sender] > 0 {
          memcpy(
            plan.receive + plan.receiveOffsets[sender],
            source.send + source.sendOffsets[receiver], plan.receiveCounts[sender])
        }
      }
    }
    return nil
  }
}
