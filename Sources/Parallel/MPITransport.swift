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
  /// The same of what is under way beside computing. Over TCP a message within the eager limit
  /// (launch/environment.sh sets it above this) goes out without an answer from the other side, so
  /// that the wire stays busy in both directions between one call of Open MPI and the next.
  private static let startedPieceBytes = 1 << 19

  private let communicator: MPI_Comm
  let rank: Int
  let size: Int
  private var requests: [MPI_Request?] = []

  /// Takes over `communicator`, which nobody else uses.
  init(_ communicator: MPI_Comm) {
    self.communicator = communicator
    var rank: Int32 = 0
    var size: Int32 = 0
    check(MPI_Comm_rank(communicator, &rank), "MPI_Comm_rank")
    check(MPI_Comm_size(communicator, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
  }

  func split(color: Int) -> any Transport {
    var part: MPI_Comm? = MPI_COMM_NULL
    check(MPI_Comm_split(communicator, Int32(color), Int32(rank), &part), "MPI_Comm_split")
    return MPITransport(part!)
  }

  func barrier() { check(MPI_Barrier(communicator), "MPI_Barrier") }

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
    waitForAll(&requests)
  }

  func allGather(_ memory: UnsafeMutableRawPointer, counts: [Int]) {
    let offsets = counts.offsets
    requests.removeAll(keepingCapacity: true)
    post(tag: 0, into: &requests) { peer in
      (memory + offsets[peer], counts[peer])
    } send: { _ in
      (UnsafeRawPointer(memory + offsets[rank]), counts[rank])
    }
    waitForAll(&requests)
  }

  func start(_ plan: ExchangePlan, tag: Int) -> any StartedExchange {
    var requests: [MPI_Request?] = []
    post(tag: Int32(tag), pieces: Self.startedPieceBytes, into: &requests) { peer in
      (plan.receive + plan.receiveOffsets[peer], plan.receiveCounts[peer])
    } send: { peer in
      (plan.send + plan.sendOffsets[peer], plan.sendCounts[peer])
    }
    return MPIExchange(requests)
  }

  func broadcast(_ memory: UnsafeMutableRawPointer, bytes: Int, from root: Int) {
    forPieces(of: bytes, Self.pieceBytes) { offset, count in
      check(MPI_Bcast(memory + offset, count, MPI_BYTE, Int32(root), communicator), "MPI_Bcast")
    }
  }

  var isOver: Bool { false }

  func abort(_ error: any Error, speaker: String, code: Int32) -> Never {
    FaultReport(speaker: speaker, error: error).endProcess(code: code)
  }

  /// Posts a message from and to every other rank, nearest ranks first.
  private func post(
    tag: Int32, pieces: Int = pieceBytes, into requests: inout [MPI_Request?],
    receive: (_ peer: Int) -> (UnsafeMutableRawPointer, Int),
    send: (_ peer: Int) -> (UnsafeRawPointer, Int)
  ) {
    func post(_ start: (inout MPI_Request?) -> Int32) {
      var request: MPI_Request? = MPI_REQUEST_NULL
      check(start(&request), "a message")
      requests.append(request)
    }
    for step in 1..<max(size, 1) where size > 1 {
      let peer = (rank + size - step) % size
      let (memory, count) = receive(peer)
      forPieces(of: count, pieces) { offset, bytes in
        post {
          MPI_Irecv(memory + offset, bytes, MPI_BYTE, Int32(peer), tag, communicator, &$0)
        }
      }
    }
    for step in 1..<max(size, 1) where size > 1 {
      let peer = (rank + step) % size
      let (memory, count) = send(peer)
      forPieces(of: count, pieces) { offset, bytes in
        post {
          MPI_Isend(memory + offset, bytes, MPI_BYTE, Int32(peer), tag, communicator, &$0)
        }
      }
    }
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

/// Messages under way.
private final class MPIExchange: StartedExchange {
  private var requests: [MPI_Request?]

  init(_ requests: [MPI_Request?]) { self.requests = requests }

  func poll() -> Bool {
    if requests.isEmpty { return true }
    var flag: Int32 = 0
    check(
      MPI_Testall(Int32(requests.count), &requests, &flag, MPI_STATUSES_IGNORE), "MPI_Testall")
    if flag != 0 { requests = [] }
    return flag != 0
  }

  func wait() {
    waitForAll(&requests)
    requests = []
  }
}

private func waitForAll(_ requests: inout [MPI_Request?]) {
  check(MPI_Waitall(Int32(requests.count), &requests, MPI_STATUSES_IGNORE), "MPI_Waitall")
}

/// Traps when Open MPI reports a failure that its own handler let pass.
private func check(_ status: Int32, _ call: String) {
  require(status == MPI_SUCCESS, "\(call) gave \(status)")
}
