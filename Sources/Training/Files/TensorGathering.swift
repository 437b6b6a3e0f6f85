// Tensors that ranks hold in parts, brought whole to the ranks that write them, block by block.

import Kernels
import Parallel

/// A tensor of which this rank has a part in memory.
public struct SpreadTensor {
  public let description: TensorDescription
  /// The part's elements, as wide as the description's.
  public let memory: UnsafeRawBufferPointer

  public init(_ description: TensorDescription, memory: UnsafeRawBufferPointer) {
    self.description = description
    self.memory = memory
  }
}

/// Consecutive elements of one dealt tensor.
private struct Stretch {
  let tensor: Int
  let elements: Range<Int>
}

/// Gathers dealt tensors: in each round every writer gets the next block of its tensors, so that all
/// write at once and nobody holds a whole tensor twice.
struct TensorGathering {
  /// What a writer gets in a round: large enough for a disk and a wire, small beside a model.
  static let blockBytes = 1 << 20

  private let tensors: [SpreadTensor]
  private let world: Communicator
  /// By writer and round.
  private let rounds: [[[Stretch]]]
  /// This rank's part of each tensor.
  private let own: [SlicePart]
  /// Of the tensors that this rank writes, every rank's part.
  private var parts: [Int: [SlicePart]] = [:]

  /// `parts` gives a rank's part of each tensor, in the deal's order; all ranks' parts are each tensor,
  /// every element once. `tensors` are those of the deal.
  init(
    _ tensors: [SpreadTensor], deal: TensorDeal, over world: Communicator,
    blockBytes: Int = blockBytes, parts: (_ rank: Int) -> [SlicePart]
  ) {
    self.tensors = tensors
    self.world = world
    rounds = (0..<world.size).map { writer in
      Self.rounds(
        deal.writers.indices.filter { deal.writers[$0] == writer }, of: deal.tensors,
        blockBytes: blockBytes)
    }
    own = parts(world.rank)
    let mine = deal.writers.indices.filter { deal.writers[$0] == world.rank }
    for rank in 0..<world.size {
      let all = parts(rank)
      for tensor in mine { self.parts[tensor, default: []].append(all[tensor]) }
    }
  }

  /// The tensors one after another, cut into blocks.
  private static func rounds(
    _ indices: [Int], of tensors: [TensorDescription], blockBytes: Int
  ) -> [[Stretch]] {
    var rounds: [[Stretch]] = []
    var room = 0
    for index in indices {
      let (count, width) = (tensors[index].count, tensors[index].type.bytes)
      var first = 0
      while first < count {
        if room < width {
          rounds.append([])
          room = max(blockBytes, width)
        }
        let now = min(count - first, room / width)
        rounds[rounds.count - 1].append(Stretch(tensor: index, elements: first..<first + now))
        first += now
        room -= now * width
      }
    }
    return rounds
  }

  /// Gathers everything; `take` gets this rank's blocks in the order of its tensors. Every rank
  /// calls it alike, and what `take` makes of the bytes changes nothing for the others.
  func run(_ take: (UnsafeRawBufferPointer) -> Void) {
    var send: [UInt8] = []
    send.reserveCapacity(Self.blockBytes)
    var received: [UInt8] = []
    var block: [UInt8] = []
    for round in 0..<(rounds.map(\.count).max() ?? 0) {
      send.removeAll(keepingCapacity: true)
      let sendCounts = rounds.map { rounds in
        let before = send.count
        for stretch in round < rounds.count ? rounds[round] : [] {
          let width = tensors[stretch.tensor].description.type.bytes
          let elements = own[stretch.tensor].elements(within: stretch.elements)
          send.append(
            contentsOf: UnsafeRawBufferPointer(
              rebasing: tensors[stretch.tensor].memory[
                elements.lowerBound * width..<elements.upperBound * width]))
        }
        return send.count - before
      }
      let mine = round < rounds[world.rank].count ? rounds[world.rank][round] : []
      let receiveCounts = (0..<world.size).map { rank in
        mine.reduce(0) { total, stretch in
          total + parts[stretch.tensor]![rank].elements(within: stretch.elements).count
            * tensors[stretch.tensor].description.type.bytes
        }
      }
      let bytes = receiveCounts.reduce(0, +)
      received.grow(to: bytes)
      send.withUnsafeBytes { send in
        received.withUnsafeMutableBytes { received in
          world.exchange(
            send.baseAddress!, counts: sendCounts, into: received.baseAddress!,
            counts: receiveCounts)
        }
      }
      guard bytes > 0 else { continue }
      block.grow(to: bytes)
      block.withUnsafeMutableBytes { block in
        received.withUnsafeBytes { lay($0, of: mine, into: block) }
        take(UnsafeRawBufferPointer(rebasing: block[..<bytes]))
      }
    }
  }

  /// Puts what came from each rank in turn where it belongs in the block of these stretches.
  private func lay(
    _ received: UnsafeRawBufferPointer, of stretches: [Stretch],
    into block: UnsafeMutableRawBufferPointer
  ) {
    var source = received.baseAddress!
    for rank in 0..<world.size {
      var target = block.baseAddress!
      for stretch in stretches {
        let width = tensors[stretch.tensor].description.type.bytes
        let part = parts[stretch.tensor]![rank]
        let elements = part.elements(within: stretch.elements)
        part.forEachRun(elements) { own, whole, count in
          (target + (whole - stretch.elements.lowerBound) * width).copyMemory(
            from: source + (own - elements.lowerBound) * width, byteCount: count * width)
        }
        source += elements.count * width
        target += stretch.elements.count * width
      }
    }
  }
}

extension [UInt8] {
  /// Makes room for so many bytes, one at least; what was there may be lost.
  fileprivate mutating func grow(to count: Int) {
    if self.isEmpty || self.count < count { self = [UInt8](repeating: 0, count: count + 1) }
  }
}
