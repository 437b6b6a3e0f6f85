// The one addition behind all sums over ranks: in rank order, so bits depend on nothing else.

/// target[i] = ((sources[0][i] + sources[1][i]) + sources[2][i]) + …, all of one size, without gaps.
///
/// `target` may be one of the sources. Bits do not depend on the team, which may be missing.
public func sumInOrder(_ sources: [Matrix], into target: Matrix, team: ThreadTeam?) {
  for source in sources {
    require(
      source.count == target.count && source.precision == target.precision
        && source.isContiguous && target.isContiguous,
      "\(source.count) \(source.precision) into \(target.count) \(target.precision)")
  }
  switch target.precision {
  case .float32: sumInOrder(Float.self, sources, target, team)
  case .float64: sumInOrder(Double.self, sources, target, team)
  }
}

/// Elements that one worker adds in one go.
private let piece = 1 << 16

@inline(__always)
private func sumInOrder<Scalar: KernelScalar>(
  _ type: Scalar.Type, _ sources: [Matrix], _ target: Matrix, _ team: ThreadTeam?
) {
  let pointers = sources.map { $0.pointer(type) }
  let result = target.pointer(type)
  let count = target.count
  pointers.withUnsafeBufferPointer { pointers in
    func add(_ range: Range<Int>) {
      forLanes(type, range.count) { i, n in
        let first = range.lowerBound + i
        var total = pointers[0].lanes(first, n)
        for rank in 1..<pointers.count { total = total + pointers[rank].lanes(first, n) }
        result.set(first, n, total)
      }
    }
    let pieces = (count + piece - 1) / piece
    guard let team, pieces > 1 else { return add(0..<count) }
    team.run(pieces) { task, _ in add(task * piece..<min((task + 1) * piece, count)) }
  }
}
