// Bytes over Open MPI.

import CMPI
import Glibc
import Kernels

/// A group of processes under `mpirun`.
///
/// Errors inside Open MPI end the job by its own handler; counts beyond 2³¹ go in pieces.
final class MPITransport: Transport {
  /// Largest single message; MPI counts are 32 bits wide.
  private static let pieceBytes = 1 << 30
  /// The same of what is under way while ranks compute. Over TCP a message within the eager limit
  /// (launch/environment.sh sets it above this) goes out without an answer from the other side, so
  /// that the wire stays busy in both directions between one call of Open MPI and the next.
  private static let startedPieceBytes = 1 << 19

  private let communicator: MPI_Comm
  let rank: Int
  let size: Int
  let spansMachines: Bool
  /// One for all groups of the process.
  private let outbox: MPIOutbox
  private var requests: [MPI_Request?] = []

  /// Takes over `communicator`, which nobody else uses.
  convenience init(_ communicator: MPI_Comm) { self.init(communicator, outbox: MPIOutbox()) }

  private init(_ communicator: MPI_Comm, outbox: MPIOutbox) {
    self.communicator = communicator
    self.outbox = outbox
    var rank: Int32 = 0
    var size: Int32 = 0
    check(MPI_Comm_rank(communicator, &rank), "MPI_Comm_rank")
    check(MPI_Comm_size(communicator, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    var near: MPI_Comm? = MPI_COMM_NULL
    check(
      MPI_Comm_split_type(communicator, Int32(MPI_COMM_TYPE_SHARED), 0, MPI_INFO_NULL, &near),
      "MPI_Comm_split_type")
    var local: Int32 = 0
    check(MPI_Comm_size(near, &local), "MPI_Comm_size")
    check(MPI_Comm_free(&near), "MPI_Comm_free")
    spansMachines = local < size
  }

  func split(color: Int) -> any Transport {
    outbox.empty()
    var part: MPI_Comm? = MPI_COMM_NULL
    check(MPI_Comm_split(communicator, Int32(color), Int32(rank), &part), "MPI_Comm_split")
    return MPITransport(part!, outbox: outbox)
  }

  func barrier() {
    requests = [MPI_REQUEST_NULL]
    check(MPI_Ibarrier(communicator, &requests[0]), "MPI_Ibarrier")
    outbox.wait(for: &requests)
  }

  func allToAll(
    _ send: UnsafeRawPointer, counts sendCounts: [Int], offsets sendOffsets: [Int],
    into receive: UnsafeMutableRawPointer, counts receiveCounts: [Int]
  ) {
    // Own messages between pairs, not MPI_Alltoallv: its displacements end at 2³¹, and the choice
    // of another path for larger ones could differ between ranks.
    require(
      sendCounts[rank] == receiveCounts[rank],
      "rank \(rank) sends itself \(sendCounts[rank]) bytes and expects \(receiveCounts[rank])")
    let receiveOffsets = receiveCounts.offsets
    requests.removeAll(keepingCapacity: true)
    post(tag: 0, into: &requests) { peer in
      (receive + receiveOffsets[peer], receiveCounts[peer])
    } send: { peer in
      (send + sendOffsets[peer], sendCounts[peer])
    }
    if sendCounts[rank] > 0 {
      memcpy(receive + receiveOffsets[rank], send + sendOffsets[rank], sendCounts[rank])
    }
    outbox.wait(for: &requests)
  }

  func allGather(_ memory: UnsafeMutableRawPointer, counts: [Int]) {
    let offsets = counts.offsets
    requests.removeAll(keepingCapacity: true)
    post(tag: 0, into: &requests) { peer in
      (memory + offsets[peer], counts[peer])
    } send: { _ in
      (UnsafeRawPointer(memory + offsets[rank]), counts[rank])
    }
    outbox.wait(for: &requests)
  }

  func start(_ plan: ExchangePlan, tag: Int) -> any StartedExchange {
    let exchange = MPIExchange(outbox)
    for peer in peers(below: true) {
      forPieces(of: plan.receiveCounts[peer], Self.startedPieceBytes) { offset, bytes in
        exchange.receive(
          plan.receive + plan.receiveOffsets[peer] + offset, bytes, from: Int32(peer),
          tag: Int32(tag), communicator)
      }
    }
    var messages: [(offset: Int, message: MPIOutbox.Message)] = []
    for peer in peers(below: false) {
      forPieces(of: plan.sendCounts[peer], Self.startedPieceBytes) { offset, bytes in
        messages.append(
          (
            offset,
            MPIOutbox.Message(
              memory: plan.send + plan.sendOffsets[peer] + offset, bytes: bytes, peer: Int32(peer),
              tag: Int32(tag), communicator: communicator, exchange: exchange)
          ))
      }
    }
    // All peers' first pieces, then all second ones: no wire waits for another.
    messages.sort { $0.offset < $1.offset }
    outbox.add(messages.map(\.message), peers: size - 1)
    return exchange
  }

  func progress() { outbox.progress() }

  var isOver: Bool { false }

  func abort(_ error: any Error, speaker: String, code: Int32) -> Never {
    FaultReport(speaker: speaker, error: error).endProcess(code: code)
  }

  /// Posts a message from and to every other rank, nearest ranks first.
  private func post(
    tag: Int32, into requests: inout [MPI_Request?],
    receive: (_ peer: Int) -> (UnsafeMutableRawPointer, Int),
    send: (_ peer: Int) -> (UnsafeRawPointer, Int)
  ) {
    func post(_ start: (inout MPI_Request?) -> Int32) {
      var request: MPI_Request? = MPI_REQUEST_NULL
      check(start(&request), "a message")
      requests.append(request)
    }
    for peer in peers(below: true) {
      let (memory, count) = receive(peer)
      forPieces(of: count, Self.pieceBytes) { offset, bytes in
        post {
          MPI_Irecv(memory + offset, bytes, MPI_BYTE, Int32(peer), tag, communicator, &$0)
        }
      }
    }
    for peer in peers(below: false) {
      let (memory, count) = send(peer)
      forPieces(of: count, Self.pieceBytes) { offset, bytes in
        post {
          MPI_Isend(memory + offset, bytes, MPI_BYTE, Int32(peer), tag, communicator, &$0)
        }
      }
    }
  }

  /// The other ranks, nearest first: those below this one, or above, round the ring.
  private func peers(below: Bool) -> [Int] {
    (0..<size).dropFirst().map { (rank + (below ? size - $0 : $0)) % size }
  }

  private func forPieces(
    of bytes: Int, _ most: Int, _ body: (_ offset: Int, _ bytes: Int32) -> Void
  ) {
    var offset = 0
    while offset < bytes {
      let piece = min(bytes - offset, most)
      body(offset, Int32(piece))
      offset += piece
    }
  }
}
