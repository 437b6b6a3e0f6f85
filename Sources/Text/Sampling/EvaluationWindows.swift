// The windows over which a part's loss is measured: every token is predicted once.

/// A sequence to predict: `labels[i]` is what follows `inputs[i]`, or −100 where nothing does.
public struct EvaluationWindow: Sendable, Equatable {
  public let inputs: [Int32]
  public let labels: [Int32]
  /// Labels that count.
  public let count: Int
}

/// Windows of the training length that meet end to end.
///
/// Window w predicts tokens w·L to w·L + L − 1 of the part, each from those before it in the window
/// and one more: the last token of the window before; for window 0 the last token before the part;
/// at the start of the corpus `<|endoftext|>`. The last window is filled up: labels −100, inputs 0.
public struct EvaluationWindows: Sendable {
  public let part: CorpusPart
  public let sequenceLength: Int
  /// Windows.
  public let count: Int
  private let context: Int32

  public static let ignoredLabel: Int32 = -100

  /// Throws if the part is empty or nothing stands before its first token.
  public init(_ part: CorpusPart, sequenceLength: Int) throws {
    guard part.count > 0 else {
      throw TextError(part.name, "holds no token; accepted: a text of ten characters or more")
    }
    guard let context = part.context else {
      throw TextError(
        part.name,
        "its first token can be predicted from nothing; accepted: a tokenizer with "
          + "<|endoftext|>, or a part that does not start the corpus")
    }
    check(sequenceLength > 0, "sequence length \(sequenceLength)")
    self.part = part
    self.sequenceLength = sequenceLength
    self.context = context
    count = (part.count + sequenceLength - 1) / sequenceLength
  }

  public subscript(index: Int) -> EvaluationWindow {
    check(index >= 0 && index < count, "window \(index) of \(count)")
    let start = index * sequenceLength
    let length = min(sequenceLength, part.count - start)
    let labels = part.window(at: start, count: length)
    let before = start > 0 ? part.window(at: start - 1, count: 1)[0] : context
    let filling = sequenceLength - length
    return EvaluationWindow(
      inputs: [before] + labels.dropLast() + [Int32](repeating: 0, count: filling),
      labels: labels + [Int32](repeating: Self.ignoredLabel, count: filling), count: length)
  }
}
