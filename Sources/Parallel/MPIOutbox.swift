// Messages over Open MPI that are under way while ranks compute.

import CMPI
import Kernels

/// Messages that started exchanges have to send, of which a few are under way at a time, oldest first:
/// whatever a rank says meanwhile waits for those few alone.
///
/// Whoever waits for Open MPI brings it on: what the other side waits for may stand here.
final class MPIOutbox {
  struct Message {
    let memory: UnsafeRawPointer
    let bytes: Int32
    let peer: Int32
    let tag: Int32
    let communicator: MPI_Comm
    let exchange: MPIExchange
  }

  /// Messages under way to each peer: what a wire carries from one poll to the next.
  private static let mostToPeer = 8

  private var waiting: [Message] = []
  private var next = 0
  private var requests: [MPI_Request?] = []
  private var exchanges: [MPIExchange] = []
  private var finished: [Int32] = []
  private var most = 0
  /// Exchanges that are not over.
  var exchangesUnderWay = 0

  /// Appends messages to `peers` other ranks.
  func add(_ messages: [Message], peers: Int) {
    most = max(most, Self.mostToPeer * peers)
    for message in messages { message.exchange.unsent += 1 }
    waiting += messages
    advance()
  }

  /// Notes what has gone out, and sends what may follow.
  func advance() {
    if !requests.isEmpty {
      finished.append(contentsOf: repeatElement(0, count: max(0, requests.count - finished.count)))
      var count: Int32 = 0
      check(
        MPI_Testsome(
          Int32(requests.count), &requests, &count, &finished, MPI_STATUSES_IGNORE),
        "MPI_Testsome")
      for index in finished.prefix(Int(max(count, 0))).sorted(by: >) {
        exchanges[Int(index)].unsent -= 1
        requests.remove(at: Int(index))
        exchanges.remove(at: Int(index))
      }
    }
    while next < waiting.count && requests.count < most {
      let message = waiting[next]
      next += 1
      var request: MPI_Request? = MPI_REQUEST_NULL
      check(
        MPI_Isend(
          message.memory, message.bytes, MPI_BYTE, message.peer, message.tag,
          message.communicator, &request), "MPI_Isend")
      requests.append(request)
      exchanges.append(message.exchange)
    }
    if next == waiting.count && next > 0 {
      waiting.removeAll(keepingCapacity: true)
      next = 0
    }
  }

  /// Brings on what is under way, received or sent.
  func progress() {
    guard exchangesUnderWay > 0 else { return }
    advance()
    // Open MPI moves messages in whichever call.
    var flag: Int32 = 0
    check(
      MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_SELF, &flag, MPI_STATUS_IGNORE), "MPI_Iprobe")
  }

  /// Returns when these are over.
  func wait(for others: inout [MPI_Request?]) {
    var flag: Int32 = 0
    while !requests.isEmpty && flag == 0 {
      advance()
      check(
        MPI_Testall(Int32(others.count), &others, &flag, MPI_STATUSES_IGNORE), "MPI_Testall")
    }
    guard flag == 0 else { return }
    check(MPI_Waitall(Int32(others.count), &others, MPI_STATUSES_IGNORE), "MPI_Waitall")
  }

  /// Returns when all has gone out.
  func empty() { while !requests.isEmpty { advance() } }
}

/// An exchange under way.
final class MPIExchange: StartedExchange {
  private let outbox: MPIOutbox
  private var receives: [MPI_Request?] = []
  /// Messages that have not gone out.
  var unsent = 0

  private var isOver = false

  init(_ outbox: MPIOutbox) {
    self.outbox = outbox
    outbox.exchangesUnderWay += 1
  }

  func receive(
    _ memory: UnsafeMutableRawPointer, _ bytes: Int32, from peer: Int32, tag: Int32,
    _ communicator: MPI_Comm
  ) {
    var request: MPI_Request? = MPI_REQUEST_NULL
    check(MPI_Irecv(memory, bytes, MPI_BYTE, peer, tag, communicator, &request), "MPI_Irecv")
    receives.append(request)
  }

  func poll() -> Bool {
    if isOver { return true }
    outbox.advance()
    if !receives.isEmpty {
      var flag: Int32 = 0
      check(
        MPI_Testall(Int32(receives.count), &receives, &flag, MPI_STATUSES_IGNORE), "MPI_Testall")
      if flag != 0 { receives = [] }
    }
    guard receives.isEmpty && unsent == 0 else { return false }
    isOver = true
    outbox.exchangesUnderWay -= 1
    return true
  }

  func wait() { while !poll() {} }
}

/// Traps when Open MPI reports a failure that its own handler let pass.
func check(_ status: Int32, _ call: String) {
  require(status == MPI_SUCCESS, "\(call) gave \(status)")
}
