// What the tests of post-training's objectives share: cases of other implementations, gradients from
// the tape, and comparison.

import Foundation
import Kernels
import Tensors
import Testing
import Text

/// A case of `rl.json`: inputs and what another implementation made of them.
struct AlignmentCase: CustomTestStringConvertible, Sendable {
  let name: String
  let inputs: JSONValue
  let outputs: JSONValue
  var testDescription: String { name }

  /// The cases of the folder that `APUS_GOLDENS` names, or that lies beside the package.
  static let all: [AlignmentCase] = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let folder =
      ProcessInfo.processInfo.environment["APUS_GOLDENS"]
      ?? package.appendingPathComponent("../shared/goldens").path
    let path = "\(folder)/rl.json"
    guard FileManager.default.fileExists(atPath: path) else {
      print("skipped: no cases of post-training in \(path)")
      return []
    }
    do {
      let document = try JSONValue(parsing: FileBytes.read(path), source: path)
      return try (document["cases"]?.asArray ?? []).map { value in
        guard let name = value["name"]?.asString, let inputs = value["inputs"],
          let outputs = value["outputs"]
        else { throw TextError(path, "a case without name, inputs or outputs") }
        return AlignmentCase(name: name, inputs: inputs, outputs: outputs)
      }
    } catch {
      fatalError("\(error)")
    }
  }()

  /// All numbers of an input, row after row; nil where it is missing or null.
  func numbers(_ name: String) -> [Double]? {
    guard let value = inputs[name], value != .null else { return nil }
    return flattened(value)
  }

  func number(_ name: String) throws -> Double {
    try #require(numbers(name)?.first, "\(self.name): no number \(name)")
  }

  func text(_ name: String) throws -> String {
    try #require(inputs[name]?.asString, "\(self.name): no text \(name)")
  }

  func whole(_ name: String) throws -> [Double] {
    try #require(numbers(name), "\(self.name): no numbers \(name)")
  }

  func flags(_ name: String) throws -> [Bool] { try whole(name).map { $0 != 0 } }

  /// Columns of a table of numbers.
  func columns(_ name: String) throws -> Int {
    try #require(inputs[name]?.asArray?.first?.asArray?.count, "\(self.name): no table \(name)")
  }

  /// Compares everything that the case holds with what was found; nothing may be left over. `places`
  /// of a name are the only ones to look at.
  func expect(_ found: [String: [Double]], places: [String: [Bool]] = [:]) {
    let expected = outputs.asObject ?? []
    #expect(!expected.isEmpty, "\(name) holds no outputs")
    for (output, value) in expected {
      guard let ours = found[output] else {
        Issue.record("\(name): nothing was computed for \(output)")
        continue
      }
      let theirs = flattened(value)
      guard ours.count == theirs.count else {
        Issue.record("\(name): \(ours.count) values instead of \(theirs.count) for \(output)")
        continue
      }
      let kept = places[output] ?? Array(repeating: true, count: ours.count)
      expectEqual(
        ours.indices.filter { kept[$0] }.map { ours[$0] },
        theirs.indices.filter { kept[$0] }.map { theirs[$0] }, "\(name): \(output)")
    }
  }
}

private func flattened(_ value: JSONValue) -> [Double] {
  switch value {
  case .array(let elements): elements.flatMap(flattened)
  case .integer(let number): [Double(number)]
  case .number(let number): [number]
  default: []
  }
}

enum AlignmentBar {
  /// Float64 against another float64 implementation, and one order of sums against another.
  static let values = 1e-10
  /// Central differences of functions of numbers about 1, in float64.
  static let differences = 1e-7
}

/// max|a − b| ≤ bar · max|b|; names the worst place and both values.
func expectEqual(
  _ found: [Double], _ expected: [Double], _ what: String, within bar: Double = AlignmentBar.values,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard found.count == expected.count else {
    Issue.record(
      "\(what): \(found.count) values for \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let largest = expected.map { abs($0) }.max() ?? 0
  let gaps = zip(found, expected).map { ($0 - $1).isNaN ? .infinity : abs($0 - $1) }
  guard let worst = gaps.indices.max(by: { gaps[$0] < gaps[$1] }) else { return }
  #expect(
    gaps[worst] <= bar * max(largest, 1e-6),
    "\(what) at \(worst): \(found[worst]) instead of \(expected[worst])",
    sourceLocation: sourceLocation)
}

/// A loss on a tape in float64 and its gradient by each operand, which is given as shape and values.
func onTape(
  _ operands: [(shape: [Int], values: [Double])], _ loss: ([Variable]) -> Variable
) throws -> (value: Double, gradients: [[Double]]) {
  let device = try Device(precision: .float64, threads: 1)
  let tape = Tape(device)
  let gradients = operands.map { device.tensor(TensorShape($0.shape)) }
  let slots = gradients.map { GradientSlot(into: $0, on: device) }
  let variables = zip(operands, slots).map { operand, slot in
    tape.variable(device.tensor(TensorShape(operand.shape), operand.values), gradient: slot)
  }
  let result = loss(variables)
  let value = result.value.scalar
  tape.backward(from: [result])
  for slot in slots { slot.zeroIfEmpty() }
  return (value, gradients.map(\.elements))
}

/// Central differences of a function of numbers.
func differences(
  of values: [Double], step h: Double = 1e-6, _ f: ([Double]) -> Double
) -> [Double] {
  values.indices.map { index in
    var (above, below) = (values, values)
    above[index] += h
    below[index] -= h
    return (f(above) - f(below)) / (2 * h)
  }
}

/// Numbers that look random, −1 … 1, the same each time.
func draws(_ count: Int, seed: UInt64) -> [Double] {
  (0..<count).map { index in
    var bits = (UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15 &+ seed &* 0xD1B5_4A32_D192_ED03
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    bits ^= bits >> 31
    return Double(bits >> 11) * 0x1p-52 - 1
  }
}
