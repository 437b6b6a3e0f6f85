// Gradients against central differences, in float64.

import Kernels

/// How far an analytic gradient is from central differences.
public struct GradientError: Sendable {
  public let name: String
  /// max|a − b| ÷ max(max|b|, 1e-6 × the largest gradient entry of all operands).
  public let relative: Double
  /// Element with the largest difference, and both its values.
  public let worstIndex: Int
  public let analytic: Double
  public let numeric: Double
  /// Elements compared.
  public let count: Int
}

/// The relative error of DESIGN's proofs, element lists of one tensor against a reference.
///
/// `largest` is the largest reference entry of the whole model (or of all operands).
public func gradientError(
  _ name: String, _ values: [Double], reference: [Double], largest: Double
) -> GradientError {
  require(values.count == reference.count, "\(name): \(values.count) against \(reference.count)")
  var worst = 0
  var difference = 0.0
  var highest = 0.0
  for index in values.indices {
    let gap = abs(values[index] - reference[index])
    // A NaN is the worst difference of all.
    if gap > difference || gap.isNaN && !difference.isNaN {
      worst = index
      difference = gap
    }
    highest = max(highest, abs(reference[index]))
  }
  let scale = max(highest, 1e-6 * largest)
  return GradientError(
    name: name, relative: difference == 0 ? 0 : difference / scale, worstIndex: worst,
    analytic: values.isEmpty ? 0 : values[worst], numeric: reference.isEmpty ? 0 : reference[worst],
    count: values.count)
}

/// Central differences (f(x + h) − f(x − h)) / 2h for the elements of `tensor`, changed in place
/// and put back.
public func centralDifferences(
  of tensor: Tensor, elements: [Int], step h: Double = 1e-5, _ f: () -> Double
) -> [Double] {
  require(tensor.precision == .float64, "central differences need float64")
  let pointer = tensor.base.assumingMemoryBound(to: Double.self)
  return elements.map { index in
    let original = pointer[index]
    defer { pointer[index] = original }
    pointer[index] = original + h
    let above = f()
    pointer[index] = original - h
    let below = f()
    return (above - below) / (2 * h)
  }
}

/// One differentiable operation on small operands, for the finite-difference test.
public struct OperationCase: Sendable {
  public let name: String
  /// Shapes of the operands, drawn from a normal distribution and then shaped by `prepare`.
  let operands: [[Int]]
  /// Maps each operand's draws, to stay away from kinks or below zero.
  let prepare: @Sendable (Int, Double) -> Double
  let body: @Sendable ([Variable]) -> Variable

  init(
    _ name: String, _ operands: [[Int]],
    prepare: @escaping @Sendable (Int, Double) -> Double = { $1 },
    _ body: @escaping @Sendable ([Variable]) -> Variable
  ) {
    self.name = name
    self.operands = operands
    self.prepare = prepare
    self.body = body
  }

  /// The gradient of Σ m·body(operands) with random m against central differences, by operand.
  public func check(on device: Device) -> [GradientError] {
    let key = RandomKey(seed: 7, name: name)
    let tensors = operands.enumerated().map { index, shape in
      let tensor = device.tensor(TensorShape(shape))
      fillNormal(
        tensor.matrix, key: key.derived(UInt64(index)), firstElement: 0,
        rowStride: tensor.columns, standardDeviation: 1, team: device.team)
      tensor.assign(tensor.elements.map { prepare(index, $0) })
      return tensor
    }
    func scalar(_ variables: [Variable]) -> Variable {
      let y = body(variables)
      let weights = device.tensor(y.shape)
      fillNormal(
        weights.matrix, key: key.derived(99), firstElement: 0, rowStride: weights.columns,
        standardDeviation: 1, team: device.team)
      return weightedTotal(y, weights: weights)
    }
    let tape = Tape(device)
    let gradients = tensors.map { device.tensor($0.shape) }
    let slots = gradients.map { GradientSlot(into: $0, on: device) }
    tape.backward(
      from: [scalar(zip(tensors, slots).map { tape.variable($0, gradient: $1) })])
    for slot in slots { slot.zeroIfEmpty() }
    let numeric = tensors.map { tensor in
      centralDifferences(of: tensor, elements: Array(0..<tensor.count)) {
        let tape = Tape(device, recording: false)
        return scalar(tensors.map { tape.constant($0) }).value.scalar
      }
    }
    let largest = numeric.joined().reduce(0) { max($0, abs($1)) }
    return gradients.indices.map { index in
      gradientError(
        "\(name) · operand \(index)", gradients[index].elements, reference: numeric[index],
        largest: largest)
    }
  }
}
