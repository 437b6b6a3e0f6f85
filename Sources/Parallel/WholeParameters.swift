// Arrays that are split over ranks, made whole and taken apart.

import Kernels
import Tensors

extension ParameterSet {
  /// All of an array of which each rank has the slice that it has of `parameter`: on every rank.
  ///
  /// Takes memory for the whole on each rank; every rank calls it.
  public func whole(
    _ parameter: Parameter, _ slice: Tensor, on device: Device, _ mesh: ProcessMesh
  ) -> Tensor {
    let whole = device.tensor(TensorShape(parameter.shape))
    fill(whole.flat, 0, team: device.team)
    // One of those that hold the same slice gives it; the others' zeros change nothing.
    if mesh.replicas(of: parameter.placement).rank == 0 {
      let bytes = slice.precision.bytes
      let part = SlicePart(of: parameter.shape, slice: parameter.slice)
      part.forEachRun(0..<part.count) { own, place, count in
        (whole.base + place * bytes).copyMemory(
          from: slice.base + own * bytes, byteCount: count * bytes)
      }
    }
    mesh.world.sum(whole.flat, team: device.team)
    return whole
  }
}

extension Parameter {
  /// Copies what this rank holds of elements `first ..< first + count` of the whole array, which lie
  /// at `elements` in the parameter's precision.
  public func assign(_ elements: UnsafeRawBufferPointer, first: Int) {
    let bytes = value.precision.bytes
    let given = first..<first + elements.count / bytes
    let part = SlicePart(of: shape, slice: slice)
    part.forEachRun(part.elements(within: given)) { own, place, count in
      (value.base + own * bytes).copyMemory(
        from: elements.baseAddress! + (place - first) * bytes, byteCount: count * bytes)
    }
  }
}
