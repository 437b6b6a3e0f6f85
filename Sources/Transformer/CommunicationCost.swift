// What a model's layers have to send: the formulas that accounting is held against.

import Parallel

extension LanguageModel {
  /// Adds what forward and backward of one micro-batch send at the least, on a rank whose tensor
  /// group works on `tokens` tokens: 4 (n − 1)/n activations for each attention and each dense layer
  /// (an all-gather and a reduce-scatter forward, their duals backward), 4·k·(n − 1)/n rows a token
  /// for experts that are reached by exchange, 4·(n − 1) by gathering.
  ///
  /// Counts and lists of whole numbers, a few bytes a token, are left out; exchanges are taken as
  /// even, which routers make them only nearly.
  public func addMinimum(to minimum: inout CommunicationMinimum, tokens: Int) {
    let bytes = device.precision.bytes
    let row = configuration.width * bytes
    let tensor = groups.tensor
    // Forward and backward; forward twice where blocks are computed again.
    let passes = recomputesBlocks ? 3 : 2
    let router = configuration.router
    let isMixture = Set(configuration.expertLayers)
    // Embedding and output matrix, and two numbers a token for the log-probabilities.
    for _ in 0..<4 { minimum.addGather(of: tokens * row, over: tensor) }
    for _ in 0..<2 { minimum.addGather(of: tokens * 2 * bytes, over: tensor) }
    let own = tokens / tensor.size
    for layer in 0..<configuration.layers {
      for _ in 0..<passes {
        for _ in 0..<2 { minimum.addGather(of: tokens * row, over: tensor) }
        for _ in 0..<2 {
          minimum.addGather(
            of: tokens * blocks[layer].attention.keyValueWidth * bytes,
            over: groups.keyValueSharers)
        }
        if configuration.queryKeyNorm == .full {
          minimum.addSum(of: tokens * bytes, over: tensor)
          minimum.addSum(
            of: tokens / groups.keyValueSharers.size * bytes, over: groups.keyValuePartners)
        }
        if !isMixture.contains(layer) || router.sharedExperts > 0 {
          for _ in 0..<2 { minimum.addGather(of: tokens * row, over: tensor) }
        }
        guard isMixture.contains(layer) else { continue }
        let choices = own * router.expertsPerToken
        // Rows there and back, and their weights there.
        for size in [choices * row, choices * row, choices * bytes] {
          switch groups.dispatch {
          case .exchange, .overlapped, .automatic:
            minimum.addExchange(of: size, over: groups.expert)
            minimum.addGather(of: size * groups.expertTensor.size, over: groups.expertTensor)
          case .gather:
            let rows = size == choices * bytes ? size : size / router.expertsPerToken
            minimum.addGather(of: rows * groups.experts.size, over: groups.experts)
          }
        }
      }
    }
  }
}
