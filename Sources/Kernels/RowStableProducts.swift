// A product whose rows do not know of each other: a router's logits.

/// y[T, E] = x[T, K] · w[E, K]ᵀ; the bits of a row depend on that row and w alone, never on T or on
/// where the row stands, whatever the program was compiled for.
public func rowStableProduct(_ x: Matrix, _ w: Matrix, into y: Matrix, team: ThreadTeam) {
  requireProduct(x, w, y, .right)
  // Each task packs w anew: few rows are left to one.
  let perTask = 256
  let tasks = x.rows < 2 * perTask ? min(x.rows, 1) : (x.rows + perTask - 1) / perTask
  team.run(tasks) { task, worker in
    let rows = tasks == 1 ? 0..<x.rows : task * perTask..<min(x.rows, (task + 1) * perTask)
    multiplyPanels(
      x, w, into: y, ProductArea(rows: rows, columns: 0..<y.columns), .right, accumulate: false,
      memory: team.scratch(bytes: panelMemory(y.precision), worker: worker))
  }
}
