// Element by element: sums, scalings, bounds, biases.

import Kernels

/// a + b, equal shapes.
public func sum(_ a: Variable, _ b: Variable) -> Variable {
  let tape = a.tape
  let y = tape.device.tensor(a.shape)
  add(a.value.matrix, b.value.matrix, into: y.matrix, team: tape.team)
  return tape.result(y, from: [a, b]) { [da = a.gradient, db = b.gradient] dy in
    da?.add(dy)
    db?.add(dy)
  }
}

/// x + bias for every row: bias [C].
public func adding(_ bias: Variable, to x: Variable) -> Variable {
  let tape = x.tape
  let team = tape.team
  let width = bias.value.count
  let y = tape.device.tensor(x.shape)
  addToRows(
    x.value.matrix, bias.value.reshaped([1, width]).matrix, into: y.matrix, team: team)
  return tape.result(y, from: [x, bias]) { [dx = x.gradient, db = bias.gradient] dy in
    db?.add { gradient, accumulate in
      sumRows(
        dy.matrix, into: gradient.reshaped([1, width]).matrix, accumulate: accumulate, team: team)
    }
    dx?.add(dy)
  }
}

/// x bounded to −bound … bound; the gradient passes where |x| ≤ bound.
public func clamped(_ x: Variable, to bound: Double) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor(x.shape)
  clamp(x.value.matrix, to: bound, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [saved = x.saved, dx = x.gradient] dy in
    let gradient = device.tensor(dy.shape)
    clampGradient(dy.matrix, saved.tensor.matrix, bound: bound, into: gradient.matrix, team: team)
    dx?.add(gradient)
  }
}

/// factor · x.
public func scaled(_ x: Variable, by factor: Double) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor(x.shape)
  scale(x.value.matrix, by: factor, into: y.matrix, team: team)
  return tape.result(y, from: [x]) { [dx = x.gradient] dy in
    let gradient = device.tensor(dy.shape)
    scale(dy.matrix, by: factor, into: gradient.matrix, team: team)
    dx?.add(gradient)
  }
}

/// s · x with a learned scalar s [1]; ds = Σ dy·x.
public func scaled(_ x: Variable, by s: Variable) -> Variable {
  let tape = x.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor(x.shape)
  let factor = s.value.scalar
  scale(x.value.matrix, by: factor, into: y.matrix, team: team)
  return tape.result(y, from: [x, s]) {
    [saved = x.saved, dx = x.gradient, ds = s.gradient] dy in
    ds?.add { gradient, accumulate in
      let products = device.tensor(dy.shape)
      multiply(dy.matrix, saved.tensor.matrix, into: products.matrix, team: team)
      let total = Kernels.sum(products.matrix, team: team)
      gradient.assign([total + (accumulate ? gradient.scalar : 0)])
    }
    let gradient = device.tensor(dy.shape)
    scale(dy.matrix, by: factor, into: gradient.matrix, team: team)
    dx?.add(gradient)
  }
}

/// a · b element by element, equal shapes.
public func multiplied(_ a: Variable, _ b: Variable) -> Variable {
  let tape = a.tape
  let device = tape.device
  let team = tape.team
  let y = device.tensor(a.shape)
  multiply(a.value.matrix, b.value.matrix, into: y.matrix, team: team)
  return tape.result(y, from: [a, b]) {
    [sa = a.saved, sb = b.saved, da = a.gradient, db = b.gradient] dy in
    for (slot, other) in [(da, sb), (db, sa)] {
      guard let slot else { continue }
      let gradient = device.tensor(dy.shape)
      multiply(dy.matrix, other.tensor.matrix, into: gradient.matrix, team: team)
      slot.add(gradient)
    }
  }
}

/// Σ wᵢ·xᵢ of scalars: the objective from its terms.
public func weightedSum(_ terms: [(weight: Double, term: Variable)]) -> Variable {
  let tape = terms[0].term.tape
  let device = tape.device
  let total = terms.reduce(0) { $0 + $1.weight * $1.term.value.scalar }
  return tape.result(device.tensor([1], [total]), from: terms.map(\.term)) {
    [slots = terms.map { ($0.weight, $0.term.gradient) }] dy in
    for (weight, slot) in slots {
      slot?.add { gradient, accumulate in
        gradient.assign([weight * dy.scalar + (accumulate ? gradient.scalar : 0)])
      }
    }
  }
}
