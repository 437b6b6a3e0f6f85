// Reverse-mode differentiation: a list of pullbacks, run backwards once.

import Kernels

/// Records what differentiable operations did, and runs their pullbacks in reverse order.
///
/// Each pullback is dropped as soon as it has run, and with it the activations that it kept.
/// Every rank records the same operations in the same order, so collectives meet.
public final class Tape {
  public let device: Device
  /// Whether operations are recorded; evaluation and generation need no pullbacks.
  public let isRecording: Bool
  /// Whether parameters are to get gradients, too; else only what the caller puts in.
  public let isLearning: Bool
  private var pullbacks: [() -> Void] = []

  public init(_ device: Device, recording: Bool = true, learning: Bool = true) {
    self.device = device
    isRecording = recording
    isLearning = learning
  }

  package var team: ThreadTeam { device.team }

  /// A value that needs no gradient.
  public func constant(_ tensor: Tensor) -> Variable {
    Variable(tensor, tape: self, gradient: nil, saved: isRecording ? Saved(tensor) : nil)
  }

  /// A value whose gradient `slot` receives.
  public func variable(_ tensor: Tensor, gradient slot: GradientSlot) -> Variable {
    guard isRecording else { return constant(tensor) }
    return Variable(tensor, tape: self, gradient: slot, saved: Saved(tensor))
  }

  /// The result of an operation. `pullback` gets the gradient of the result, and adds to the
  /// gradients of the operands; it captures only what it needs, and nothing where it is not needed.
  package func result(
    _ value: Tensor, from operands: @autoclosure () -> [Variable],
    remade: @autoclosure () -> (() -> Tensor)? = nil,
    pullback: @autoclosure () -> (Tensor) -> Void
  ) -> Variable {
    device.runBackground()
    guard isRecording && operands().contains(where: { $0.gradient != nil }) else {
      return constant(value)
    }
    let pullback = pullback()
    let slot = GradientSlot(shape: value.shape, on: device)
    pullbacks.append {
      guard let gradient = slot.take() else { return }
      pullback(gradient)
    }
    return Variable(
      value, tape: self, gradient: slot, saved: remade().map(Saved.init(remade:)) ?? Saved(value))
  }

  /// Appends a pullback that takes its results' gradients itself, or only notes that backward came by.
  package func record(_ pullback: @escaping () -> Void) {
    if isRecording { pullbacks.append(pullback) }
  }

  /// Runs all pullbacks, last first, starting from the gradient 1 of each of `losses`.
  public func backward(from losses: [Variable]) {
    for loss in losses {
      require(loss.value.count == 1, "backward starts at scalars, not at \(loss.value.shape)")
      loss.gradient?.add { gradient, accumulate in
        gradient.assign([1 + (accumulate ? gradient.scalar : 0)])
      }
    }
    backward()
  }

  /// Runs all pullbacks, last first, from the gradients that the slots hold.
  func backward() {
    while let pullback = pullbacks.popLast() {
      pullback()
      device.runBackground()
    }
  }
}

/// A tensor that operations are recorded on.
///
/// Holds its value; pullbacks hold `saved` and `gradient` instead, so that values which no
/// pullback needs are freed as soon as the forward pass lets go of them.
public struct Variable {
  public let value: Tensor
  public let tape: Tape
  public let gradient: GradientSlot?
  /// None where the tape does not record.
  private let keeper: Saved?

  init(_ value: Tensor, tape: Tape, gradient: GradientSlot?, saved: Saved?) {
    self.value = value
    self.tape = tape
    self.gradient = gradient
    keeper = saved
  }

  /// The value for a pullback to hold; each one asks for itself.
  package var saved: Saved {
    guard let keeper else { fatalError("a tape that does not record keeps no values") }
    keeper.holders += 1
    return keeper
  }

  public var shape: TensorShape { value.shape }
  /// The value, cut off from differentiation.
  public var detached: Variable { tape.constant(value) }
}

/// A tensor that a pullback will need: kept, or cheap enough to be made again.
///
/// What is made again stays until the last pullback that asked for it is dropped.
package final class Saved {
  private var kept: Tensor?
  private let remake: (() -> Tensor)?
  /// Pullbacks that hold it.
  fileprivate(set) var holders = 0

  init(_ tensor: Tensor) {
    kept = tensor
    remake = nil
  }

  init(remade: @escaping () -> Tensor) { remake = remade }

  package var tensor: Tensor {
    if let kept { return kept }
    let made = remake!()
    kept = made
    return made
  }

  /// The tensor if this is its memory's only holder and one pullback this one's, so that the pullback
  /// may overwrite it; else nil. Asked before `tensor`, which makes another holder.
  package func overwritable() -> Tensor? {
    guard holders == 1, kept != nil, isKnownUniquelyReferenced(&kept!.storage) else { return nil }
    return kept
  }
}

/// Where the gradient of one value gathers. The first contribution is written, later ones added.
public final class GradientSlot {
  private let shape: TensorShape
  private let device: Device
  private var gradient: Tensor?
  /// Whether `gradient` is memory that the slot was made with, and stays.
  private let isFixed: Bool
  /// Whether a contribution has arrived since the last `clear`.
  public private(set) var isFilled = false

  init(shape: TensorShape, on device: Device) {
    self.shape = shape
    self.device = device
    isFixed = false
  }

  /// A slot that gathers into given memory, as parameters do.
  public init(into gradient: Tensor, on device: Device) {
    shape = gradient.shape
    self.device = device
    self.gradient = gradient
    isFixed = true
  }

  /// Forgets what was gathered; the next contribution overwrites.
  public func clear() {
    isFilled = false
    if !isFixed { gradient = nil }
  }

  /// Writes zeros where nothing arrived since `clear`.
  public func zeroIfEmpty() {
    guard !isFilled else { return }
    add { gradient, _ in fill(gradient.matrix, 0, team: device.team) }
  }

  /// Calls `write` with the memory to write into, and whether to add to what is there.
  package func add(_ write: (_ gradient: Tensor, _ accumulate: Bool) -> Void) {
    if isFixed {
      write(gradient!, isFilled)
    } else if !isFilled {
      let fresh = device.tensor(shape)
      write(fresh, false)
      gradient = fresh
    } else {
      makeUnique()
      write(gradient!, true)
    }
    isFilled = true
  }

  /// Adds a finished tensor; the first one is taken over without a copy.
  package func add(_ contribution: Tensor) {
    require(contribution.shape == shape, "gradient \(contribution.shape) of value \(shape)")
    if isFixed || isFilled {
      add { gradient, accumulate in
        if accumulate {
          Kernels.accumulate(
            contribution.matrix, scale: 1, into: gradient.matrix, team: device.team)
        } else {
          copy(contribution.matrix, into: gradient.matrix, team: device.team)
        }
      }
    } else {
      gradient = contribution
      isFilled = true
    }
  }

  /// What was gathered, nil if nothing; the slot is empty afterwards.
  func take() -> Tensor? {
    guard isFilled else { return nil }
    defer { clear() }
    return gradient
  }

  private func makeUnique() {
    guard !isKnownUniquelyReferenced(&gradient!.storage) else { return }
    let own = device.tensor(shape)
    copy(gradient!.matrix, into: own.matrix, team: device.team)
    gradient = own
  }
}
