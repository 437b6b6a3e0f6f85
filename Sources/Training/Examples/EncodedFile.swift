// A file of examples as tokens: too long ones refused, or left out and counted.

import Text

/// The encoded examples of a file, and what was left out of it.
public struct EncodedFile<Element: Sendable>: Sendable {
  public let path: String
  public let elements: [Element]
  public let leftOut: Int
  /// Why, for the first few.
  public let firstReasons: [TextError]

  /// Encodes each example, at the place that errors name; what is thrown refuses the file, or leaves
  /// the example out.
  init<Example: Sendable>(
    _ file: ExampleFile<Example>, badLines: BadLines, _ encode: (Example, String) throws -> Element
  ) throws {
    var elements: [Element] = []
    var leftOut = file.skippedLines
    var reasons = file.firstReasons
    for (line, example) in zip(file.lines, file.examples) {
      let place = "\(file.path), line \(line)"
      do {
        elements.append(try encode(example, place))
      } catch let error as TextError where badLines == .skipped {
        leftOut += 1
        if reasons.count < 5 { reasons.append(error) }
      }
    }
    guard !elements.isEmpty else {
      throw TextError(
        file.path,
        "no example can be used" + (reasons.first.map { ", the first since \($0)" } ?? ""))
    }
    path = file.path
    self.elements = elements
    self.leftOut = leftOut
    firstReasons = reasons
  }

  /// `training: 120 examples; 2 lines left out, the first since …`
  func introduction(_ part: String, _ noun: String) -> String {
    let left =
      leftOut == 0
      ? ""
      : "; \(leftOut) left out" + (firstReasons.first.map { ", the first since \($0)" } ?? "")
    return "\(part): \(elements.count) \(noun) of \(path)\(left)"
  }
}

extension EncodedExample {
  /// Throws where the example has more tokens than `length`, or teaches nothing.
  func checked(_ place: String, length: Int) throws -> EncodedExample {
    let own = throughLastAnswer
    guard own.labels.contains(where: { $0 != -100 }) else {
      throw TextError(place, "has no token to learn after its first; accepted: an answer")
    }
    guard own.tokens.count <= length else {
      let prompt = own.isLearned.firstIndex(of: true) ?? 0
      throw TextError(
        place,
        "has \(own.tokens.count) tokens, \(prompt) of them before the answer; accepted: "
          + "data.sequenceLength, \(length), at most; examples are never cropped")
    }
    return own
  }
}

extension ExampleConfiguration {
  var badLines: BadLines { skipBadLines ? .skipped : .refused }
}

extension RunConfiguration {
  /// The chat template of the run's tokenizer, and where that came from.
  func template(_ tokenizer: Tokenizer) throws -> ChatTemplate {
    try ChatTemplate(tokenizer, source: data.start.isEmpty ? data.tokenizer : data.start)
  }
}
