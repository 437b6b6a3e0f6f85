// A prompt's continuation, with what the model computed on the way to it for those who would compute it
// again, and how it travels between ranks.

import Kernels
import Parallel
import Tensors

/// A prompt's continuation.
public struct Continuation: Sendable, Equatable {
  public var tokens: [Int32] = []
  /// log p of each token under the model itself (temperature 1, nothing cut off).
  public var logProbabilities: [Double] = []
  /// Whether a stop token ended it.
  public var isFinished = false
  /// Empty unless `SamplingOptions.traced` asks for it.
  public var trace = ContinuationTrace()
}

/// Which tokens a trace tells the experts of.
public enum TracedTokens: Sendable, Equatable {
  /// No trace is kept.
  case none
  /// Those that the last layer computes: of a prompt its last token alone there.
  case asked
  /// All, in all layers.
  case every
}

/// What was computed of a prompt and its continuation but for the last token, which nothing read.
public struct ContinuationTrace: Sendable, Equatable {
  /// By expert layer the experts of each token [tokens · k], −1 where the layer did not choose any.
  public var experts: [[Int32]] = []
  /// Rows after the final norm, from which the continuation's tokens were drawn: [continuation, H], in the
  /// model's precision.
  public var hidden: [UInt8] = []

  mutating func append(_ chosen: ArraySlice<Int>, layer: Int) {
    while experts.count <= layer { experts.append([]) }
    for expert in chosen { experts[layer].append(Int32(expert)) }
  }
}

extension LanguageModel {
  /// Experts of all tokens of a batch by layer, [tokens · k], on every rank of the tensor group; −1 where a
  /// layer did not choose any.
  func chosenExperts(_ output: Output, _ batch: Batch) -> [ArraySlice<Int>] {
    let k = configuration.router.expertsPerToken
    var all: [Int] = []
    all.reserveCapacity(output.routings.count * batch.tokens.count * k)
    for routing in output.routings {
      for row in routing.rows(batch) {
        for place in 0..<k { all.append(row < 0 ? -1 : Int(routing.experts[row * k + place])) }
      }
    }
    // Each rank has its part of the tokens.
    let whole = groups.tensor.maximum(all)
    let size = batch.tokens.count * k
    return output.routings.indices.map { whole[$0 * size..<($0 + 1) * size] }
  }

  /// The rows from which traced continuations were drawn, `places` for each of them: [continuations · places, H];
  /// undefined behind a continuation's end.
  public func rows(drawnFrom continuations: [Continuation], places: Int) -> Tensor {
    let rows = device.tensor([continuations.count * places, configuration.width])
    let bytes = places * configuration.width * rows.precision.bytes
    for (index, continuation) in continuations.enumerated() {
      continuation.trace.hidden.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(start: rows.base + index * bytes, count: bytes)
          .copyMemory(from: $0)
      }
    }
    return rows
  }
}

extension [Continuation] {
  /// For each: numbers of tokens, experts' layers, their experts and bytes of rows, whether it is finished;
  /// tokens, log-probabilities, experts, rows.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    func append<Value: BitwiseCopyable>(_ values: [Value]) {
      values.withUnsafeBytes { bytes += $0 }
    }
    for continuation in self {
      let trace = continuation.trace
      append([
        Int32(continuation.tokens.count), Int32(trace.experts.count),
        Int32(trace.experts.first?.count ?? 0), Int32(trace.hidden.count),
        continuation.isFinished ? 1 : 0,
      ])
      append(continuation.tokens)
      append(continuation.logProbabilities)
      for layer in trace.experts { append(layer) }
      bytes += trace.hidden
    }
    return bytes
  }

  init(bytes: [UInt8]) {
    self = []
    var place = 0
    func next<Value: BitwiseCopyable>(_ count: Int, of type: Value.Type) -> [Value] {
      let size = count * MemoryLayout<Value>.stride
      defer { place += size }
      return [Value](unsafeUninitializedCapacity: count) { values, initialized in
        bytes.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(values).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[place..<place + size]))
        }
        initialized = count
      }
    }
    while place < bytes.count {
      let head = next(5, of: Int32.self).map { Int($0) }
      append(
        Continuation(
          tokens: next(head[0], of: Int32.self), logProbabilities: next(head[0], of: Double.self),
          isFinished: head[4] == 1,
          trace: ContinuationTrace(
            experts: (0..<head[1]).map { _ in next(head[2], of: Int32.self) },
            hidden: next(head[3], of: UInt8.self))))
    }
  }
}
