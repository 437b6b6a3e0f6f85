// Who holds a run up, told from what each rank did last.

/// What every rank did last, and the ranks that do not wait with the others.
package struct StallReport {
  /// The ranks' last words; nil where there are none to read.
  let readings: [HeartbeatReading?]
  /// What the system says of each process; nil where it runs elsewhere.
  let states: [ProcessState?]
  let seconds: Int

  package init(readings: [HeartbeatReading?], states: [ProcessState?], seconds: Int) {
    self.readings = readings
    self.states = states
    self.seconds = seconds
  }

  /// The culprits in a sentence, then a line a rank.
  package var text: String {
    let head =
      "apus: \(culprits); no rank has gone on for \(seconds) s; what each did last:\n"
    return head + readings.indices.map { "apus:   \(line($0))\n" }.joined()
  }

  private func line(_ rank: Int) -> String {
    guard let reading = readings[rank] else {
      return "rank \(rank) of \(readings.count): no heartbeat file can be read"
    }
    var words = "\(reading.speaker): step \(reading.step)"
    if let call = reading.call {
      words += reading.isInside ? ", waits in " : ", left "
      words += Self.describe(call)
    } else {
      words += ", no collective yet"
    }
    switch states[rank] {
    case .stopped: words += "; stopped, process \(reading.process) on \(reading.host)"
    case .gone: words += "; gone, was process \(reading.process) on \(reading.host)"
    case .running, nil: break
    }
    return words
  }

  private static func describe(_ call: HeartbeatReading.Call) -> String {
    "\(call.collective.name) (call \(call.sequence) of '\(call.group)', \(call.bytes) bytes, "
      + "\(call.site))"
  }

  private var culprits: String {
    func name(_ words: String, _ isMeant: (Int) -> Bool) -> String? {
      let ranks = readings.indices.filter(isMeant)
      guard !ranks.isEmpty, ranks.count < readings.count else { return nil }
      return "\(rankList(ranks)) of \(readings.count) \(ranks.count == 1 ? "is" : "are") \(words)"
    }
    let lost = [
      name("stopped") { states[$0] == .stopped },
      name("gone") { states[$0] == .gone },
      name("without a heartbeat file") { readings[$0] == nil },
    ].compactMap { $0 }
    if !lost.isEmpty { return lost.joined(separator: ", ") }
    return name("in no collective, while the others wait") { readings[$0]?.isInside == false }
      ?? elsewhere
  }

  /// All wait, but not in the same place: the smaller crowds are named.
  private var elsewhere: String {
    var crowds: [(call: HeartbeatReading.Call, ranks: [Int])] = []
    for (rank, reading) in readings.enumerated() {
      guard let call = reading?.call else { continue }
      // Groups of one axis wait alike: they have the same name.
      let known = crowds.firstIndex {
        $0.call.group == call.group && $0.call.sequence == call.sequence
          && $0.call.collective == call.collective && $0.call.site == call.site
      }
      if let known {
        crowds[known].ranks.append(rank)
      } else {
        crowds.append((call, [rank]))
      }
    }
    guard crowds.count > 1, let most = crowds.map(\.ranks.count).max() else {
      return "all ranks wait"
    }
    let main = crowds.firstIndex { $0.ranks.count == most }!
    let odd = crowds.indices.filter { $0 != main }.map {
      "\(rankList(crowds[$0].ranks)) of \(readings.count) "
        + "\(crowds[$0].ranks.count == 1 ? "waits" : "wait") in \(Self.describe(crowds[$0].call))"
    }
    return odd.joined(separator: ", ")
      + ", while \(rankList(crowds[main].ranks)) \(most == 1 ? "waits" : "wait") in "
      + Self.describe(crowds[main].call)
  }
}
