// An exchange of rows beside computation, as a differentiable operation in two steps.

import Kernels
import Tensors

/// Rows on their way to other ranks, and others to this one.
///
/// In the backward pass the two steps change places: where the rows were met their gradient leaves, and
/// where they left it is met.
public final class RowsUnderWay {
  private let group: Communicator
  /// Until its rows have left.
  private var x: Variable?
  private let send, receive: [Int]
  private let tape: Tape
  private var value: Tensor?
  private var forward: PendingExchange?
  private var backward: (pending: PendingExchange, dy: Tensor, dx: Tensor)?

  init(_ x: Variable, send: [Int], receive: [Int], over group: Communicator) {
    self.group = group
    self.x = x
    self.send = send
    self.receive = receive
    tape = x.tape
    let value = tape.device.tensor([receive.reduce(0, +), x.value.columns])
    self.value = value
    forward = group.startExchange(x.value.matrix, counts: send, into: value.matrix, counts: receive)
    tape.record { [gradient = x.gradient] in
      guard let (pending, _, dx) = self.backward else { return }
      self.backward = nil
      pending.wait()
      gradient?.add(dx)
    }
  }

  /// The rows that came; called once.
  public func arrived() -> Variable {
    guard let x, let value, let forward else { fatalError("these rows have been met already") }
    forward.wait()
    (self.x, self.value, self.forward) = (nil, nil, nil)
    return tape.result(value, from: [x]) { dy in
      let dx = self.tape.device.tensor([self.send.reduce(0, +), dy.columns])
      let pending = self.group.startExchange(
        dy.matrix, counts: self.receive, into: dx.matrix, counts: self.send)
      self.backward = (pending, dy, dx)
    }
  }
}

extension Communicator {
  /// Starts what `exchanged` does; until `arrived` other work may run.
  public func startExchanged(_ x: Variable, send: [Int], receive: [Int]) -> RowsUnderWay {
    RowsUnderWay(x, send: send, receive: receive, over: self)
  }
}
