// Products of an expert layer: each group of rows has its own weights, and may be empty.

/// What a grouped product computes from a group's rows x and its weights W [N, K].
public enum GroupedForm: Sendable {
  /// x[·, K] · Wᵀ
  case output
  /// x[·, N] · W
  case inputGradient
}

/// y[rows of e] = x[rows of e] · op(weights[e]), with rows offsets[e] ..< offsets[e + 1].
public func groupedProduct(
  _ x: Matrix, offsets: [Int], weights: [Matrix], into y: Matrix, form: GroupedForm,
  accumulate: Bool = false, team: ThreadTeam
) {
  requireGroups(offsets, count: weights.count, rows: x.rows)
  require(x.rows == y.rows, "\(x.rows) rows into \(y.rows)")
  let transposed = form == .output ? Transposition.right : .none
  var tasks: [GroupedTask] = []
  for (group, weight) in weights.enumerated() {
    let first = offsets[group]
    let rows = offsets[group + 1] - first
    requireProduct(
      x.rows(first, count: rows), weight, y.rows(first, count: rows), transposed)
    if rows == 0 { continue }
    GroupedTask.add(
      group, .output(rows, y.columns, depth: x.columns, transposed), to: &tasks)
  }
  team.run(tasks.count) { task, worker in
    let group = tasks[task].group
    let first = offsets[group]
    let rows = offsets[group + 1] - first
    multiply(
      x.rows(first, count: rows), weights[group], into: y.rows(first, count: rows),
      tasks[task].area, transposed, accumulate: accumulate,
      memory: team.scratch(bytes: panelMemory(y.precision), worker: worker))
  }
}

/// gradients[e] = dy[rows of e]ᵀ · x[rows of e], added to it where accumulate[e]; of an empty group
/// zero.
public func groupedWeightGradient(
  _ dy: Matrix, _ x: Matrix, offsets: [Int], into gradients: [Matrix], accumulate: [Bool],
  team: ThreadTeam
) {
  requireGroups(offsets, count: gradients.count, rows: x.rows)
  require(dy.rows == x.rows, "\(dy.rows) rows with \(x.rows)")
  require(
    accumulate.count == gradients.count, "\(accumulate.count) Bools, \(gradients.count) gradients")
  var tasks: [GroupedTask] = []
  var memory = 0
  for (group, gradient) in gradients.enumerated() {
    let first = offsets[group]
    let rows = offsets[group + 1] - first
    requireProduct(dy.rows(first, count: rows), x.rows(first, count: rows), gradient, .left)
    let tiling = ProductTiling(
      gradient.rows, gradient.columns, depth: rows, least: 512, parts: gradients.count)
    memory = max(
      memory, panelMemory(dy.precision, packedRows: tiling.tallest, depth: max(rows, 1)))
    GroupedTask.add(group, tiling, to: &tasks)
  }
  team.run(tasks.count) { task, worker in
    let group = tasks[task].group
    let first = offsets[group]
    let rows = offsets[group + 1] - first
    multiply(
      dy.rows(first, count: rows), x.rows(first, count: rows), into: gradients[group],
      tasks[task].area, .left, accumulate: accumulate[group],
      memory: team.scratch(bytes: memory, worker: worker))
  }
}

private struct GroupedTask {
  let group: Int
  let area: ProductArea

  static func add(_ group: Int, _ tiling: ProductTiling, to tasks: inout [GroupedTask]) {
    for index in 0..<tiling.count { tasks.append(GroupedTask(group: group, area: tiling[index])) }
  }
}

private func requireGroups(_ offsets: [Int], count: Int, rows: Int) {
  require(
    offsets.count == count + 1 && offsets[0] == 0 && offsets[count] == rows
      && zip(offsets, offsets.dropFirst()).allSatisfy(<=),
    "offsets \(offsets) for \(count) groups of \(rows) rows")
}
