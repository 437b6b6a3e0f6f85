// What a model costs: parameters and floating-point operations.

import Parallel

extension ModelConfiguration {
  /// Parameters that one token passes in products: attention, router, its k experts, shared and
  /// dense layers, the output matrix; not the embedding.
  public var activeParameters: Int {
    let headWidth = resolvedHeadWidth
    let attention = width * headWidth * (2 * heads + 2 * keyValueHeads)
    let experts = router.expertsPerToken + router.sharedExperts
    let mixture = width * router.experts + 3 * width * router.expertWidth * experts
    let dense = 3 * width * denseWidth
    return layers * attention + expertLayers.count * mixture + denseLayers.count * dense
      + vocabulary * width
  }

  /// Floating-point operations of forward and backward over `sequences` of `length` tokens:
  /// 6 · active parameters · tokens, and 6 · sequences · length² · heads · head width · layers for
  /// attention (the causal half counted). Of batches that ask for some tokens only it is too much.
  public func trainingOperations(sequences: Int, length: Int) -> Double {
    let products = 6 * Double(activeParameters) * Double(sequences * length)
    let scores =
      6 * Double(sequences * length) * Double(length) * Double(heads * resolvedHeadWidth * layers)
    return products + scores
  }
}
