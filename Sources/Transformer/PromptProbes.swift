// How probable a model finds given continuations, and which tokens of a prompt would change that: what an
// attack on a prompt asks for. Trains nothing.

import Kernels
import Parallel
import Tensors

/// A prompt with a continuation, and the places of the prompt that may be written otherwise.
public struct PromptProbe: Sendable, Equatable {
  public let prompt: [Int32]
  public let target: [Int32]
  public let segment: Range<Int>

  /// Prompt and target hold a token at least.
  public init(prompt: [Int32], target: [Int32], segment: Range<Int>) {
    require(
      !prompt.isEmpty && !target.isEmpty && segment.clamped(to: prompt.indices) == segment,
      "prompt \(prompt), target \(target), segment \(segment)")
    self.prompt = prompt
    self.target = target
    self.segment = segment
  }
}

extension LanguageModel {
  /// Probes of one forward pass.
  private static let probesAtOnce = 128

  /// log p(target | prompt) of each probe, in nats. All ranks give the same probes, and get all.
  public func logProbabilities(of probes: [PromptProbe]) -> [Double] {
    shared(probes, width: { _ in 1 }) { rows in
      let output = forward(rows.batch, on: Tape(device, recording: false))
      return sequenceLogProbabilities(output, labels: rows.labels, rows.batch).value.elements
    }.flatMap { $0 }
  }

  /// d log p(target | prompt) / d one-hot of each place of each probe's segment: place after place, a row
  /// of the vocabulary each. All ranks give the same probes, and get all.
  ///
  /// A place's embedding is one-hot · table, so this is the embedding's gradient · tableᵀ; the choice of
  /// experts counts as fixed. Parameters get no gradient.
  public func oneHotGradients(of probes: [PromptProbe]) -> [[Double]] {
    shared(probes, width: { $0.segment.count * configuration.vocabulary }) { rows in
      let gradient = embeddingGradient(rows)
      let places = rows.segmentPlaces
      let chosen = device.tensor([places.count, configuration.width])
      gatherRows(gradient.matrix, places, into: chosen.matrix, team: device.team)
      let tape = Tape(device, recording: false)
      return wholeLogits(linear(tape.constant(chosen), embeddingTable.on(tape)).value).elements
    }
  }

  /// d Σ log p / d embedding of every token of the batch, on every rank of the tensor group.
  private func embeddingGradient(_ rows: ProbeRows) -> Tensor {
    let tape = Tape(device, learning: false)
    var own: (gradient: Tensor, slot: GradientSlot)?
    let output = forward(
      rows.batch, on: tape,
      inputGradient: { [device] x in
        let gradient = device.tensor(x.shape)
        let slot = GradientSlot(into: gradient, on: device)
        own = (gradient, slot)
        return slot
      })
    let sums = sequenceLogProbabilities(output, labels: rows.labels, rows.batch)
    // Several ranks hold each sum; one of them adds it.
    let items = ownItems(of: rows.batch.sequences).map { Int32($0) }
    tape.backward(from: [scaledSum(select(sums, rows: items), factor: 1)])
    guard let own else { fatalError("the forward pass asked for no gradient of its input") }
    own.slot.zeroIfEmpty()
    return wholeRows(own.gradient, tokens: rows.batch.tokens.count)
  }

  /// The `width` numbers that `measure` gives for each probe: each data rank does its share, in as many
  /// parts as the others.
  private func shared(
    _ probes: [PromptProbe], width: (PromptProbe) -> Int, _ measure: (ProbeRows) -> [Double]
  ) -> [[Double]] {
    let own = groups.data.ownShare(of: probes.count)
    let most = groups.data.shares(of: probes.count).max() ?? 0
    let parts = (most + Self.probesAtOnce - 1) / Self.probesAtOnce
    let found = (0..<parts).flatMap { part in
      let range = share(of: own.count, part: part, of: parts)
      return measure(ProbeRows(range.map { probes[own.lowerBound + $0] }))
    }
    let numbers = groups.data.gather(found.withUnsafeBytes(Array.init)).flatMap { bytes in
      bytes.withUnsafeBytes { memory in
        stride(from: 0, to: memory.count, by: 8).map {
          memory.loadUnaligned(fromByteOffset: $0, as: Double.self)
        }
      }
    }
    var start = 0
    return probes.map { probe in
      defer { start += width(probe) }
      return Array(numbers[start..<start + width(probe)])
    }
  }
}

/// Probes as one batch, padded behind.
private struct ProbeRows {
  let probes: [PromptProbe]
  let batch: Batch
  /// What each position predicts, where that is a target's token.
  let labels: [Int32]

  init(_ probes: [PromptProbe]) {
    self.probes = probes
    let length = probes.map { $0.prompt.count + $0.target.count - 1 }.max() ?? 1
    var tokens: [Int32] = []
    var labels: [Int32] = []
    for probe in probes {
      let known = probe.prompt + probe.target.dropLast()
      let rest = length - known.count
      // No real token sees what stands behind it.
      tokens += known + Array(repeating: known[0], count: rest)
      labels += Array(repeating: -100, count: probe.prompt.count - 1) + probe.target
      labels += Array(repeating: -100, count: rest)
    }
    batch = Batch(tokens: tokens, sequences: probes.count, length: length)
    self.labels = labels
  }

  /// Places of the segments' tokens in the batch.
  var segmentPlaces: [Int32] {
    probes.enumerated().flatMap { index, probe in
      probe.segment.map { Int32(index * batch.length + $0) }
    }
  }
}
