// An exchange of rows, beside which other work may run, as a differentiable operation in two steps.

import Kernels
import Tensors

/// Rows on their way to other ranks, and others to this one.
///
/// In the backward pass the two steps change places: where the rows were met their gradient leaves, and
/// where they left it is met.
public final class RowsUnderWay {
  private let group: Communicator
  private let send, receive: [Int]
  private let tape: Tape
  /// Until its rows have left.
  private var x: Variable?
  private var forward: (pending: PendingExchange, value: Tensor)?
  private var backward: (pending: PendingExchange, dy: Tensor, dx: Tensor)?

  init(_ x: Variable, send: [Int], receive: [Int], over group: Communicator) {
    self.group = group
    self.x = x
    self.send = send
    self.receive = receive
    tape = x.tape
    let value = tape.device.tensor([receive.reduce(0, +), x.value.columns])
    let pending = group.startExchange(
      x.value.matrix, counts: send, into: value.matrix, counts: receive)
    forward = (pending, value)
    tape.record { [gradient = x.gradient] in
      guard let (pending, _, dx) = self.backward else { return }
      self.backward = nil
      pending.wait()
      gradient?.add(dx)
    }
  }

  /// Rows that are where they belong.
  init(arrived x: Variable, in group: Communicator) {
    self.group = group
    self.x = x
    (send, receive) = ([], [])
    tape = x.tape
  }

  /// The rows that came; called once.
  public func arrived() -> Variable {
    guard let x else { fatalError("these rows have been met already") }
    self.x = nil
    guard let (pending, value) = forward else { return x }
    forward = nil
    pending.wait()
    return tape.result(value, from: [x]) { dy in
      let dx = self.tape.device.tensor([self.send.reduce(0, +), dy.columns])
      let pending = self.group.startExchange(
        dy.matrix, counts: self.receive, into: dx.matrix, counts: self.send)
      self.backward = (pending, dy, dx)
    }
  }
}

extension Communicator {
  /// Rows of other ranks for rows of this one: `send[r]` of them go to rank r, `receive[r]` come. Until
  /// they are asked for other work may run.
  ///
  /// Its dual is the same with the two sides exchanged.
  public func startExchanged(_ x: Variable, send: [Int], receive: [Int]) -> RowsUnderWay {
    size > 1
      ? RowsUnderWay(x, send: send, receive: receive, over: self)
      : RowsUnderWay(arrived: x, in: self)
  }
}
