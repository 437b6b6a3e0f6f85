// The curves of one run, from its records or from its metrics.jsonl.

/// What a chart shows of a run.
public struct RunHistory: Sendable, Equatable {
  public var name: String
  public private(set) var loss: [ChartPoint] = []
  public private(set) var learningRate: [ChartPoint] = []
  public private(set) var gradientNorm: [ChartPoint] = []
  public private(set) var bitsPerCharacter: [ChartPoint] = []
  public private(set) var heldOutLoss: [ChartPoint] = []
  public private(set) var heldOutBitsPerCharacter: [ChartPoint] = []

  public init(name: String) { self.name = name }

  public mutating func add(_ record: StepRecord) {
    let x = Double(record.step)
    loss.append(ChartPoint(x, record.losses.perToken))
    learningRate.append(ChartPoint(x, record.learningRate))
    gradientNorm.append(ChartPoint(x, record.gradientNorm))
    if let bits = record.losses.bitsPerCharacter { bitsPerCharacter.append(ChartPoint(x, bits)) }
  }

  public mutating func add(_ record: EvaluationRecord) {
    let x = Double(record.step)
    heldOutLoss.append(ChartPoint(x, record.loss))
    if let bits = record.bitsPerCharacter { heldOutBitsPerCharacter.append(ChartPoint(x, bits)) }
  }

  /// Reads `metrics.jsonl`, as after a resumption. Lines of other kinds are passed over, and so is
  /// a last line that a crash tore.
  public init(name: String, metrics path: String) throws {
    self.init(name: name)
    let contents = try ReadableFile.contents(path, atMost: 1 << 32)
    let newline = UInt8(ascii: "\n")
    var number = 0
    var start = 0
    while let end = contents[start...].firstIndex(of: newline) {
      number += 1
      let line = try JSON(parsing: Array(contents[start..<end]), source: "\(path), line \(number)")
      try add(line, where: "line \(number)", of: path)
      start = end + 1
    }
  }

  private mutating func add(_ line: JSON, where place: String, of path: String) throws {
    guard let kind = line["kind"]?.asString, let step = line["step"]?.asInteger else {
      throw FileError(path, "\(place) has no kind (a string) and step (an integer)")
    }
    let x = Double(step)
    // A number that was not finite is null in the file: a gap in the curve.
    func append(_ name: String, to points: inout [ChartPoint]) {
      guard let value = line[name] else { return }
      points.append(ChartPoint(x, value.asNumber ?? .nan))
    }
    switch kind {
    case StepRecord.kind:
      append("loss", to: &loss)
      append("learning_rate", to: &learningRate)
      append("gradient_norm", to: &gradientNorm)
      append("bits_per_character", to: &bitsPerCharacter)
    case EvaluationRecord.kind:
      append("loss", to: &heldOutLoss)
      append("bits_per_character", to: &heldOutBitsPerCharacter)
    default: break
    }
  }
}
