// Causal grouped-query attention: the doors, and what a call is about.

/// Which queries meet which keys.
///
/// q, o, dq [sequences · queryLength, heads · headWidth]; k, v, dk, dv [sequences · keyCapacity,
/// keyValueHeads · headWidth]; logSumExp [sequences · heads, queryLength]. Head h reads key/value
/// head h / (heads / keyValueHeads).
public struct AttentionShape: Sendable {
  public var sequences, queryLength, keyCapacity, heads, keyValueHeads, headWidth: Int
  /// What scores are multiplied by: 1/√headWidth as a rule.
  public var scale: Double
  /// How many of a sequence's key rows exist, the first ones; nil: all keyCapacity. Query i stands at
  /// position keyLengths[b] − queryLength + i and sees no key behind it.
  public var keyLengths: [Int]?
  /// [sequences · queryLength] the first key that a query sees; nil: key 0.
  public var firstKey: [Int32]?
  /// [sequences · queryLength] the position of each query among its sequence's keys: some tokens'
  /// queries alone. Nil: as `keyLengths` says.
  public var queryPositions: [Int32]?

  public init(
    sequences: Int, queryLength: Int, keyCapacity: Int, heads: Int, keyValueHeads: Int,
    headWidth: Int, scale: Double, keyLengths: [Int]? = nil, firstKey: [Int32]? = nil,
    queryPositions: [Int32]? = nil
  ) {
    self.sequences = sequences
    self.queryLength = queryLength
    self.keyCapacity = keyCapacity
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headWidth = headWidth
    self.scale = scale
    self.keyLengths = keyLengths
    self.firstKey = firstKey
    self.queryPositions = queryPositions
  }

  /// Query heads that share a key/value head.
  var group: Int { heads / keyValueHeads }

  func keyLength(of sequence: Int) -> Int { keyLengths?[sequence] ?? keyCapacity }

  /// The keys that a query sees; empty where its first key stands behind it.
  @inline(__always)
  func visibleKeys(_ sequence: Int, query: Int) -> Range<Int> {
    let row = sequence &* queryLength &+ query
    let position =
      queryPositions.map { Int($0[row]) } ?? keyLength(of: sequence) - queryLength + query
    let end = max(0, position + 1)
    guard let firstKey else { return 0..<end }
    return min(Int(firstKey[row]), end)..<end
  }
}

/// o = softmax(scale · q · kᵀ) · v over the visible keys; logSumExp is that of the scaled scores.
///
/// A query that sees no key gets zeros, and −∞ as log-sum-exp.
public func attention(
  queries q: Matrix, keys k: Matrix, values v: Matrix, shape: AttentionShape, into o: Matrix,
  logSumExp: Matrix, team: ThreadTeam
) {
  requireAttention(shape, queries: [q, o], keys: [k, v], logSumExp)
  let memory = AttentionMemory(q: q, k: k, v: v, o: o, logSumExp: logSumExp)
  switch q.precision {
  case .float32: attend(Float.self, memory, shape, team)
  case .float64: attend(Double.self, memory, shape, team)
  }
}

/// dq, dk, dv of `attention` from dO; probabilities are made again from logSumExp, block by block.
///
/// Key rows that do not exist get zeros.
public func attentionGradient(
  outputGradient dO: Matrix, queries q: Matrix, keys k: Matrix, values v: Matrix, output o: Matrix,
  logSumExp: Matrix, shape: AttentionShape, into dq: Matrix, _ dk: Matrix, _ dv: Matrix,
  team: ThreadTeam
) {
  requireAttention(shape, queries: [q, o, dO, dq], keys: [k, v, dk, dv], logSumExp)
  let memory = AttentionMemory(q: q, k: k, v: v, o: o, logSumExp: logSumExp)
  let gradient = AttentionGradientMemory(dO: dO, dq: dq, dk: dk, dv: dv)
  switch q.precision {
  case .float32: attendBackward(Float.self, memory, gradient, shape, team)
  case .float64: attendBackward(Double.self, memory, gradient, shape, team)
  }
}

struct AttentionMemory {
  let q, k, v, o, logSumExp: Matrix
}

struct AttentionGradientMemory {
  let dO, dq, dk, dv: Matrix
}

private func requireAttention(
  _ shape: AttentionShape, queries: [Matrix], keys: [Matrix], _ logSumExp: Matrix
) {
  let s = shape
  require(
    s.keyValueHeads > 0 && s.heads % s.keyValueHeads == 0 && s.headWidth > 0,
    "\(s.heads) heads of width \(s.headWidth), \(s.keyValueHeads) key/value heads")
  func check(_ x: Matrix, _ rows: Int, _ columns: Int, _ what: String) {
    require(
      x.rows == rows && x.columns == columns && x.precision == logSumExp.precision,
      "\(what) \(x.rows) × \(x.columns) \(x.precision) instead of \(rows) × \(columns) "
        + "\(logSumExp.precision)")
  }
  for x in queries { check(x, s.sequences * s.queryLength, s.heads * s.headWidth, "query matrix") }
  for x in keys {
    check(x, s.sequences * s.keyCapacity, s.keyValueHeads * s.headWidth, "key matrix")
  }
  check(logSumExp, s.sequences * s.heads, s.queryLength, "log-sum-exp")
  if let lengths = s.keyLengths {
    require(
      lengths.count == s.sequences && lengths.allSatisfy { 0...s.keyCapacity ~= $0 },
      "key lengths \(lengths) for \(s.sequences) sequences of \(s.keyCapacity) key rows")
  }
  if let first = s.firstKey {
    require(
      first.count == s.sequences * s.queryLength && first.allSatisfy { $0 >= 0 },
      "\(first.count) first keys, least \(first.min() ?? 0), for "
        + "\(s.sequences) × \(s.queryLength) queries")
  }
  if let positions = s.queryPositions {
    require(
      positions.count == s.sequences * s.queryLength
        && positions.indices.allSatisfy {
          0..<s.keyLength(of: $0 / s.queryLength) ~= Int(positions[$0])
        },
      "\(positions.count) query positions up to \(positions.max() ?? 0) for "
        + "\(s.sequences) × \(s.queryLength) queries and keys "
        + "\(s.keyLengths?.description ?? "\(s.keyCapacity)")")
  }
}
