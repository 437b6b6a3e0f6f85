// Whole small models against central differences: router, balance loss and z-loss included.

import Kernels
import Parallel
import Tensors

/// A small model whose every parameter's gradient is compared with central differences.
public struct ModelCase: Sendable {
  public let name: String
  let configuration: ModelConfiguration
  let recomputes: Bool
  let isPadded: Bool

  init(
    _ name: String, recomputes: Bool = false, isPadded: Bool = false,
    _ change: (inout ModelConfiguration) -> Void = { _ in }
  ) {
    var model = ModelConfiguration()
    model.vocabulary = 11
    model.width = 8
    model.layers = 2
    model.heads = 4
    model.keyValueHeads = 2
    model.initialDeviation = 0.4
    model.router.experts = 5
    model.router.expertWidth = 6
    model.router.balanceCoefficient = 0.3
    model.router.zCoefficient = 0.1
    change(&model)
    self.name = name
    configuration = model
    self.recomputes = recomputes
    self.isPadded = isPadded
  }

  /// Every option of the model at least once.
  public static let all: [ModelCase] = [
    ModelCase("softmax, top-2, batch balance"),
    ModelCase("recomputed blocks", recomputes: true),
    ModelCase("padding", isPadded: true),
    ModelCase("sequence balance, top-1 unnormalised", isPadded: true) {
      $0.router.balanceScope = .sequence
      $0.router.expertsPerToken = 1
      $0.router.renormalise = false
    },
    ModelCase("pooled balance, top-4, norm per head, biases, dense layer, tied") {
      $0.router.balanceScope = .pooled
      $0.router.expertsPerToken = 4
      $0.queryKeyNorm = .head
      $0.attentionBias = true
      $0.denseLayers = [0]
      $0.denseWidth = 7
      $0.tiedEmbedding = true
    },
    ModelCase("sigmoid, temperature, selection bias, shared expert, full norm, bound") {
      $0.router.score = .sigmoid
      $0.router.learnedTemperature = true
      $0.router.biasRate = 0.1
      $0.router.sharedExperts = 1
      $0.queryKeyNorm = .full
      $0.clipQKV = 1.1
    },
    ModelCase("multi-query, head width apart from width, ReLU") {
      $0.keyValueHeads = 1
      $0.headWidth = 6
      $0.activation = .relu
    },
    ModelCase("recomputed blocks, sigmoid, shared expert, sequence balance", recomputes: true) {
      $0.router.score = .sigmoid
      $0.router.sharedExperts = 2
      $0.router.balanceScope = .sequence
    },
  ]

  /// One error a parameter. At most `limit` elements of each, evenly spread, are compared.
  public func check(on device: Device, elementsPerParameter limit: Int = 24) throws
    -> [GradientError]
  {
    let model = try LanguageModel(configuration, on: device, mesh: .single(), seed: 5)
    model.recomputesBlocks = recomputes
    for (index, bias) in model.selectionBiases.enumerated() {
      bias.values = bias.values.indices.map { 0.05 * Double(($0 + index) % 3) }
    }
    let tokens: [Int32] = [1, 7, 3, 10, 2, 5, 0, 9, 4, 8, 6, 1]
    var labels: [Int32] = [7, 3, 10, 2, 5, -100, 9, 4, 8, 6, 1, -100]
    let mask = tokens.indices.map { !isPadded || $0 < 9 }
    for index in tokens.indices where !mask[index] { labels[index] = -100 }
    let batch = Batch(tokens: tokens, sequences: 2, mask: isPadded ? mask : nil)
    // Counts are those of the unperturbed model: they are constants of the loss.
    let tape = Tape(device)
    let output = model.forward(batch, on: tape)
    let counts = model.counts(output, labels: labels, batch)
    model.parameters.clearGradients()
    tape.backward(from: [
      model.objective(output, labels: labels, batch, counts: counts).total
    ])
    for parameter in model.parameters.parameters { parameter.slot.zeroIfEmpty() }
    let compared = model.parameters.parameters.map { parameter in
      let count = parameter.value.count
      let step = max(1, (count + limit - 1) / limit)
      return (parameter, Array(stride(from: 0, to: count, by: step)))
    }
    let numeric = compared.map { parameter, elements in
      centralDifferences(of: parameter.value, elements: elements) {
        let tape = Tape(device, recording: false)
        let output = model.forward(batch, on: tape)
        return model.objective(output, labels: labels, batch, counts: counts).total.value.scalar
      }
    }
    let largest = numeric.joined().reduce(0) { max($0, abs($1)) }
    return zip(compared, numeric).map { compared, numeric in
      let (parameter, elements) = compared
      let gradient = parameter.gradient.elements
      return gradientError(
        "\(name) · \(parameter.name)", elements.map { gradient[$0] }, reference: numeric,
        largest: largest)
    }
  }
}
