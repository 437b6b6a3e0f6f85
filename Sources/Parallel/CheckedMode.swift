// The comparison before each collective: Open MPI says nothing when ranks meet different ones.

import Glibc
import Kernels

/// One rank's announcement of the collective that it has come to, of fixed size.
struct Announcement: Equatable {
  static let bytes = 192
  private static let header = 56

  /// Which collective of the group it is, from 1.
  var sequence: Int
  var step: Int
  var collective: Collective
  var element: CollectiveTerms.Element
  /// −1 where each rank has its own.
  var count: Int
  var cut: Int
  /// `Parallel/Gradients.swift:23`; a long one loses its beginning.
  var site: String

  init(_ call: CollectiveCall, _ terms: CollectiveTerms, step: Int) {
    sequence = call.sequence
    self.step = step
    collective = call.collective
    element = terms.element
    count = terms.count ?? -1
    // FNV-1a over whole numbers.
    cut = Int(
      truncatingIfNeeded: terms.cut.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
        ($0 ^ UInt64(bitPattern: Int64($1))) &* 0x100_0000_01b3
      })
    let place = call.site.description.utf8.suffix(Self.bytes - Self.header)
    site = String(decoding: place, as: UTF8.self)
  }

  /// Nil where the bytes are none, because a rank came for something else.
  init?(_ memory: UnsafeRawPointer) {
    func number(_ index: Int) -> Int { memory.load(fromByteOffset: index * 8, as: Int.self) }
    guard let collective = UInt8(exactly: number(2)).flatMap(Collective.init(rawValue:)),
      let element = UInt8(exactly: number(3)).flatMap(CollectiveTerms.Element.init(rawValue:)),
      (0...Self.bytes - Self.header).contains(number(6))
    else { return nil }
    sequence = number(0)
    step = number(1)
    self.collective = collective
    self.element = element
    count = number(4)
    cut = number(5)
    site = String(
      decoding: UnsafeRawBufferPointer(start: memory + Self.header, count: number(6)),
      as: UTF8.self)
  }

  func write(to memory: UnsafeMutableRawPointer) {
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.bytes)
    let text = Array(site.utf8)
    let numbers = [
      sequence, step, Int(collective.rawValue), Int(element.rawValue), count, cut, text.count,
    ]
    numbers.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    text.withUnsafeBytes {
      if let base = $0.baseAddress {
        (memory + Self.header).copyMemory(from: base, byteCount: $0.count)
      }
    }
  }
}

extension Announcement: CustomStringConvertible {
  /// `sum of 16 float32 at Parallel/Gradients.swift:23 (call 12 of the group, step 3)`
  var description: String {
    let amount = element == .none ? "" : " of \(count < 0 ? "" : "\(count) ")\(element)"
    return "\(collective.name)\(amount) at \(site) (call \(sequence) of the group, step \(step))"
  }
}

/// Ranks of a group that came for different collectives.
public struct CollectiveMismatch: AgreedError, CustomStringConvertible {
  /// `data`
  public let group: String
  /// What some ranks of the world came for; ranks that came for the same are together.
  public let sides: [(ranks: [Int], call: String)]

  init(group: String, members: [Int], calls: [Announcement?]) {
    self.group = group
    var sides: [(ranks: [Int], call: Announcement?)] = []
    for (rank, call) in zip(members, calls) {
      if let known = sides.firstIndex(where: { $0.call == call }) {
        sides[known].ranks.append(rank)
      } else {
        sides.append(([rank], call))
      }
    }
    self.sides = sides.map { side in
      let sameWords = sides.filter { $0.call?.description == side.call?.description }
      let cut = sameWords.count > 1 ? ", cut otherwise over the ranks" : ""
      return (side.ranks, side.call.map { "\($0)\(cut)" } ?? "something unchecked")
    }
  }

  public var description: String {
    let parts = sides.map { "\(rankList($0.ranks)) came for \($0.call)" }
    return "mismatched collectives in group '\(group)': " + parts.joined(separator: "; ")
  }
}

/// `rank 3`, `ranks 0, 1, 2`; of many the first eight.
func rankList(_ ranks: [Int]) -> String {
  let names = ranks.prefix(8).map(String.init).joined(separator: ", ")
  let more = ranks.count > 8 ? " and \(ranks.count - 8) more" : ""
  return "\(ranks.count == 1 ? "rank" : "ranks") \(names)\(more)"
}

extension Communicator {
  /// Ends the run unless all ranks of the group came for the same. Whatever they came for, they
  /// meet here in the same call of the transport with equally many bytes.
  func compare(_ announcement: Announcement) {
    let memory = staging.shared(bytes: Announcement.bytes * size)
    announcement.write(to: memory + rank * Announcement.bytes)
    transport.allGather(memory, counts: [Int](repeating: Announcement.bytes, count: size))
    let calls = (0..<size).map { Announcement(UnsafeRawPointer(memory + $0 * Announcement.bytes)) }
    guard calls.allSatisfy({ $0 == announcement }) else {
      end(after: CollectiveMismatch(group: name, members: members, calls: calls))
    }
  }

  /// Ends the run unless every rank sends what its peers expect.
  func compare(send: [Int], receive: [Int], at site: CallSite) {
    var announced = receive
    let width = MemoryLayout<Int>.stride
    let counts = [Int](repeating: width, count: size)
    send.withUnsafeBytes { send in
      announced.withUnsafeMutableBytes { announced in
        transport.allToAll(
          send.baseAddress!, counts: counts, offsets: counts.offsets,
          into: announced.baseAddress!, counts: counts)
      }
    }
    guard let peer = announced.indices.first(where: { announced[$0] != receive[$0] }) else {
      return
    }
    end(
      after: RanksOutOfStep(
        text: """
          in group '\(name)' rank \(members[peer]) sends \(announced[peer]) bytes, this rank \
          expects \(receive[peer]) at \(site)
          """))
  }
}
