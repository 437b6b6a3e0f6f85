// Activation recomputation: a part of the model keeps only its input, and runs twice.

/// Runs `body` without recording, and again, recorded, when its gradient is due (Chen et al. 2016).
///
/// `body` must be a pure function of its input and of parameters that it puts on the given
/// variable's tape. `extra` comes from the first run.
public func recomputed<Extra>(
  _ x: Variable, _ body: @escaping (Variable) -> (outputs: [Variable], extra: Extra)
) -> (outputs: [Variable], extra: Extra) {
  let tape = x.tape
  guard tape.isRecording else { return body(x) }
  let device = tape.device
  let first = body(Tape(device, recording: false).constant(x.value))
  let outputs = first.outputs.map { output in
    tape.variable(output.value, gradient: GradientSlot(shape: output.shape, on: device))
  }
  let slots = outputs.map(\.gradient)
  let isLearning = tape.isLearning
  tape.record { [input = x.saved, inputSlot = x.gradient, shape = x.shape] in
    let again = Tape(device, learning: isLearning)
    let inner = GradientSlot(shape: shape, on: device)
    let second = body(again.variable(input.tensor, gradient: inner))
    for (slot, output) in zip(slots, second.outputs) {
      if let gradient = slot?.take() { output.gradient?.add(gradient) }
    }
    again.backward()
    if let gradient = inner.take() { inputSlot?.add(gradient) }
  }
  return (outputs, first.extra)
}
